/* No copy: ada shares a buffer of her own, bob reads it where it lies, and whoever lets go last gives it back.
 *
 * Prints where the bytes are read, and when the buffer is released. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "potluck.h"

#define TIMEOUT_MS 10000
#define SIZE (64 * 1024 * 1024)

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

/* Runs once, on whichever thread lets go last. For a mapping this would be munmap(data, data_len). */
static void give_back(const uint8_t *data, size_t data_len, void *user_data) {
  void **buffer = user_data;
  printf("released: %zu bytes, %s\n", data_len, data == *buffer ? "the buffer itself" : "something else");
  free(*buffer);
  *buffer = NULL;
}

int main(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_resource_t soup;
  const uint8_t *data;
  size_t data_len;
  void *buffer = malloc(SIZE);
  if (buffer == NULL) return 1;
  memset(buffer, 's', SIZE);
  check(potluck_system_open("kitchen", NULL, &kitchen), "open");
  check(potluck_peer_spawn(kitchen, "ada", NULL, &ada), "spawn");
  check(potluck_peer_spawn(kitchen, "bob", NULL, &bob), "spawn");

  /* From here on the buffer is the library's, also if this fails, and must stay as it is. */
  check(potluck_peer_share_owned(ada, "soup", buffer, SIZE, give_back, &buffer, NULL), "share");
  check(potluck_peer_request(bob, "ada", "soup", TIMEOUT_MS, &soup), "request");
  check(potluck_resource_data(soup, &data, &data_len), "data");
  printf("bob reads %zu bytes at %s address\n", data_len, data == buffer ? "the same" : "another");

  /* Both shelves let it go, and it is still there: this program holds it by its id. */
  check(potluck_peer_unshare(ada, "soup"), "unshare");
  check(potluck_peer_unshare(bob, "soup"), "unshare");
  printf("on no shelf: %s\n", buffer != NULL && data[SIZE - 1] == 's' ? "still readable" : "gone");
  check(potluck_resource_release(soup), "release");
  printf("let go: %s\n", buffer == NULL ? "gone" : "still there");

  /* Constants need no release: they live for ever. */
  check(potluck_peer_share_owned(ada, "salt", "NaCl", 4, NULL, NULL, NULL), "share");
  check(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL), "shutdown");
  return 0;
}
