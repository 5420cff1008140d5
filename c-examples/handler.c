/* A handler: a callback that answers what others ask, on its peer's thread. Bob asks ada for prices; she knows two.
 *
 * Prints what each ask got: the answer, or the status and text of its failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "potluck.h"

#define TIMEOUT_MS 10000

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

/* What the user data is: the callback's own memory. Only one callback of a peer runs at a time, so it needs no lock. */
typedef struct shop {
  unsigned asked;
} shop;

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  shop *own = user_data;
  potluck_message_info_t info = {.struct_size = sizeof info};
  potluck_status_t status = potluck_message_info(message, &info);
  (void)peer;
  if (status != POTLUCK_OK) return status;
  if (strcmp(info.kind, "price") != 0) return POTLUCK_E_UNKNOWN_MESSAGE;
  own->asked++;
  if (info.data_len == 5 && memcmp(info.data, "bread", 5) == 0) return potluck_message_reply(message, "3.20", 4);
  if (info.data_len == 4 && memcmp(info.data, "soup", 4) == 0) return potluck_message_reply(message, "5.00", 4);
  /* Whatever else is returned is a failure, and this its text. The peer goes on. */
  check(potluck_set_error("nobody has cooked that"), "set error");
  return POTLUCK_E_HANDLER_FAILED;
}

/* Runs once, after the last callback: when close or shutdown has returned OK, it has. */
static void drop(void *user_data) {
  printf("asked %u times\n", ((shop *)user_data)->asked);
  free(user_data);
}

static void ask(potluck_peer_t bob, const char *kind, const char *what) {
  potluck_resource_t answer;
  const uint8_t *data;
  size_t data_len;
  potluck_status_t status = potluck_peer_ask(bob, "ada", kind, what, strlen(what), TIMEOUT_MS, &answer);
  if (status != POTLUCK_OK) {
    printf("%s %s: %s\n", kind, what, potluck_last_error());
    return;
  }
  check(potluck_resource_data(answer, &data, &data_len), "data");
  printf("%s %s: %.*s\n", kind, what, (int)data_len, (const char *)data);
  check(potluck_resource_release(answer), "release");
}

int main(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_peer_options_t options = {
      .struct_size = sizeof options, .on_message = on_message, .user_data = calloc(1, sizeof(shop)), .drop = drop};
  if (options.user_data == NULL) return 1;
  check(potluck_system_open("kitchen", NULL, &kitchen), "open");
  check(potluck_peer_spawn(kitchen, "ada", &options, &ada), "spawn");
  check(potluck_peer_spawn(kitchen, "bob", NULL, &bob), "spawn");
  ask(bob, "price", "bread");
  ask(bob, "price", "soup");
  ask(bob, "price", "cake");
  ask(bob, "recipe", "soup");
  check(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL), "shutdown");
  return 0;
}
