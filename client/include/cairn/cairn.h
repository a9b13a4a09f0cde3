/* Cairn's client for C: a small face over the C++ library.
 *
 * Every function may be called by any thread. They answer 0, or a positive number: a Linux errno
 * value (ENOENT: no such file; EACCES: denied; EAGAIN: nobody can take it now; ETIMEDOUT: nobody
 * answered; ENOSPC; EBADMSG: checksum). cairn_error() then has one line for people.
 */
#ifndef CAIRN_CAIRN_H
#define CAIRN_CAIRN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest file ID with its NUL. */
#define CAIRN_ID_SIZE 160

typedef struct cairn_client cairn_client;

struct cairn_file_info {
  uint64_t size;        /* bytes */
  int64_t mtime;        /* unix seconds */
  uint32_t crc32;       /* of the content */
  char source_host[64]; /* address of the node that took the upload; empty: unknown */
};

/* A client for "HOST:PORT[,HOST:PORT...]". NULL: bad text or no memory (cairn_error(NULL)). */
cairn_client* cairn_open(const char* trackers);

/* A client configured by a client.conf. NULL: see cairn_error(NULL). */
cairn_client* cairn_open_conf(const char* file);

/* Waits for nothing: all calls must have returned. NULL is allowed. */
void cairn_close(cairn_client* client);

/* Time one call may take in all, in milliseconds; 0: no limit. For calls that begin later. */
void cairn_set_timeout(cairn_client* client, unsigned milliseconds);

/* Stores a file; its ID is put into `id`, a buffer of CAIRN_ID_SIZE. `group` NULL: the tracker
 * chooses; `extension` without dot, NULL: that of `path`, "": none. */
int cairn_upload_file(cairn_client* client, const char* path, const char* group,
                      const char* extension, char* id);

/* Stores `size` bytes at `data`; otherwise as above, but `extension` NULL is none. */
int cairn_upload_memory(cairn_client* client, const void* data, size_t size, const char* group,
                        const char* extension, char* id);

/* Reads a file into `path`, which appears only when complete. */
int cairn_download_file(cairn_client* client, const char* id, const char* path);

/* Reads `length` bytes (0: to the end) from `offset`. `*data` is to be given to cairn_free(). */
int cairn_download_memory(cairn_client* client, const char* id, uint64_t offset, uint64_t length,
                          void** data, size_t* size);

/* Frees what cairn_download_memory() gave. */
void cairn_free(void* data);

int cairn_delete(cairn_client* client, const char* id);

int cairn_info(cairn_client* client, const char* id, struct cairn_file_info* info);

/* What went wrong in the calling thread's last failed call; "" if none failed. With a client or
 * without. Valid until the thread's next call. */
const char* cairn_error(const cairn_client* client);

/* 1 when that call may have been carried out all the same (an upload without an answer). */
int cairn_error_outcome_unknown(const cairn_client* client);

#ifdef __cplusplus
}
#endif

#endif
