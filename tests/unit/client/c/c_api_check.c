/* The C face as a C program uses it; called by c_api_test.cpp. */
#include "c_api_check.h"

#include "cairn/cairn.h"

#include <string.h>

int c_api_check(const char* trackers, const char* expected_id, const char* content) {
  char id[CAIRN_ID_SIZE];
  struct cairn_file_info info;
  void* data = NULL;
  size_t size = 0;
  cairn_client* client = NULL;

  if (cairn_open("no:such:thing:") != NULL) return 1;
  if (strlen(cairn_error(NULL)) == 0) return 2;

  client = cairn_open(trackers);
  if (client == NULL) return 3;
  cairn_set_timeout(client, 10000);
  if (cairn_upload_memory(client, content, strlen(content), NULL, "txt", id) != 0) return 4;
  if (strcmp(id, expected_id) != 0) return 5;
  if (cairn_info(client, id, &info) != 0 || info.size != strlen(content)) return 6;
  if (cairn_download_memory(client, id, 0, 0, &data, &size) != 0) return 7;
  if (size != strlen(content) || memcmp(data, content, size) != 0) return 8;
  cairn_free(data);
  if (cairn_delete(client, id) != 0) return 9;
  if (cairn_upload_file(client, "/nonexistent/file", NULL, NULL, id) != 2) return 10;
  if (strstr(cairn_error(client), "/nonexistent/file") == NULL) return 11;
  if (cairn_error_outcome_unknown(client) != 0) return 12;
  cairn_close(client);
  cairn_close(NULL);
  return 0;
}
