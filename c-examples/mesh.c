/* A node of a mesh: one peer finds those of the other nodes, gets the dish of each, and exchanges gifts with one of them. The same program as
 * examples/mesh_node.rs, which says more of it: mesh [--others N] NAME LISTEN [CONNECT ...] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "potluck.h"

#define TIMEOUT_MS 30000

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status != POTLUCK_OK) fprintf(stderr, "mesh: %s: %s\n", call, potluck_last_error()), exit(1);
}

/* Says whose dish or gift this is, and releases it. */
static void say(const char *name, const char *does, potluck_resource_t got, const char *what, const char *other) {
  potluck_resource_info_t info = {.struct_size = sizeof info};
  check(potluck_resource_info(got, &info), "info");
  printf("%s %s %.*s's %s%s\n", name, does, (int)info.data_len, (const char *)info.data, what, other);
  check(potluck_resource_release(got), "release");
}

/* Tells all others, and waits until each of them has told the same; one may be a meeting ahead. */
static void meet(potluck_peer_t peer, const potluck_item_t *there, size_t others, const char *kind) {
  static size_t heard[2]; /* ready, done */
  for (size_t i = 0; i < others; i++) check(potluck_peer_tell(peer, there[i].peer, kind, NULL, 0, TIMEOUT_MS), "tell");
  while (heard[*kind == 'd'] < others) {
    potluck_message_t message;
    potluck_message_info_t info = {.struct_size = sizeof info};
    check(potluck_peer_receive(peer, TIMEOUT_MS, &message), "receive");
    check(potluck_message_info(message, &info), "info");
    heard[*info.kind == 'd']++;
    check(potluck_message_release(message), "release");
  }
}

int main(int argc, char **argv) {
  size_t others = 2, joined = 0;
  if (argc > 2 && strcmp(argv[1], "--others") == 0) others = strtoul(argv[2], NULL, 10), argc -= 2, argv += 2;
  if (argc < 3 || others == 0) return fprintf(stderr, "usage: mesh [--others N] NAME LISTEN [CONNECT ...]\n"), 2;
  const char *name = argv[1], *const *addresses = (const char *const *)argv + 2;
  const potluck_mesh_options_t mesh = {.struct_size = sizeof mesh, .node = name, .listen = addresses, .listen_len = 1,
                                       .connect = addresses + 1, .connect_len = (size_t)argc - 3};
  const potluck_system_options_t options = {.struct_size = sizeof options, .mesh = &mesh};
  potluck_system_t kitchen; potluck_peer_t peer; potluck_events_t events; potluck_list_t list; potluck_resource_t got;
  potluck_event_t event = {.struct_size = sizeof event};
  const potluck_item_t *there;
  char dish[POTLUCK_NAME_SIZE], me[POTLUCK_ADDRESS_SIZE];
  check(potluck_system_open("kitchen", &options, &kitchen), "open");
  check(potluck_peer_spawn(kitchen, name, NULL, &peer), "spawn");
  snprintf(dish, sizeof dish, "dish/%s", name);
  check(potluck_peer_share(peer, dish, name, strlen(name), NULL), "share");
  check(potluck_peer_share(peer, "gift", name, strlen(name), NULL), "share");
  check(potluck_system_events(kitchen, 1024, &events), "events");
  while (joined <= others) check(potluck_events_next(events, TIMEOUT_MS, &event), "next"), joined += event.kind == POTLUCK_EVENT_JOINED;
  check(potluck_events_close(events), "close");
  check(potluck_system_peers(kitchen, &list), "peers");
  check(potluck_list_items(list, &there, &others), "items");
  there++, others--; /* The peer here comes first, then those of the other nodes, as name@node. */
  for (size_t i = 0; i < others; i++) printf("%s sees %s\n", name, there[i].peer);
  meet(peer, there, others, "ready");
  for (size_t i = 0; i < others; i++) {
    snprintf(dish, sizeof dish, "dish/%.*s", (int)strcspn(there[i].peer, "@"), there[i].peer);
    check(potluck_peer_request(peer, there[i].peer, dish, TIMEOUT_MS, &got), "request");
    say(name, "gets", got, "dish from ", there[i].peer);
  }
  snprintf(me, sizeof me, "%s@%s", name, name);
  if (strcmp(me, there->peer) < 0) {
    check(potluck_peer_exchange(peer, there[others - 1].peer, "gift", TIMEOUT_MS, &got), "exchange");
    say(name, "exchanges and gets", got, "gift from ", there[others - 1].peer);
  }
  meet(peer, there, others, "done"); /* Whoever left before that would be missed. */
  check(potluck_peer_get(peer, "gift", &got), "get");
  say(name, "has", got, "gift", "");
  check(potluck_list_release(list), "release");
  check(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL), "shutdown");
  return 0;
}
