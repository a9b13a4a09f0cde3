/* Runs the C face against a cluster that stores `content` as `expected_id`. */
#ifndef C_API_CHECK_H
#define C_API_CHECK_H

#ifdef __cplusplus
extern "C" {
#endif

/* 0, or the number of the check that failed. */
int c_api_check(const char* trackers, const char* expected_id, const char* content);

#ifdef __cplusplus
}
#endif

#endif
