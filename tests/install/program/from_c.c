/* A user's program in C. */
#include <cairn/cairn.h>
#include <stdio.h>

int main(void) {
  char id[CAIRN_ID_SIZE];
  cairn_client* client = cairn_open("127.0.0.1:1");
  if (client == NULL) return 1;
  if (cairn_upload_memory(client, "hello", 5, NULL, "txt", id) == 0) return 2;
  puts(cairn_error(client));
  cairn_close(client);
  return 0;
}
