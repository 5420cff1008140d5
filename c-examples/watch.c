/* Watching: a thread prints who joins and leaves, and who gets what from whom, while the peers go about their business.
 *
 * Prints one line for each event, in the order in which they happened. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "potluck.h"

#define TIMEOUT_MS 10000

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

static void print(const potluck_event_t *event) {
  switch (event->kind) {
  case POTLUCK_EVENT_JOINED: printf("%s joins\n", event->peer); break;
  case POTLUCK_EVENT_LEFT: printf("%s leaves\n", event->peer); break;
  case POTLUCK_EVENT_REQUESTED: printf("%s is asked for %s by %s\n", event->peer, event->name, event->other); break;
  case POTLUCK_EVENT_RECEIVED:
    printf("%s gets %s, version %" PRIu64 ", %" PRIu64 " bytes, from %s\n", event->peer, event->name, event->version,
           event->size, event->other);
    break;
  case POTLUCK_EVENT_DEAD_LETTER:
    printf("nobody will read %s from %s to %s: %s\n", event->name, event->other, event->peer, event->text);
    break;
  case POTLUCK_EVENT_MISSED: printf("missed %" PRIu64 " events\n", event->size); break;
  default: printf("something else happens to %s: %s %s\n", event->peer, event->name, event->text);
  }
}

/* Reads until the system has ended and all is read. An event is a value: there is nothing to release. */
static void *watch(void *events) {
  potluck_event_t event = {.struct_size = sizeof event};
  potluck_status_t status;
  while ((status = potluck_events_next(*(potluck_events_t *)events, POTLUCK_WAIT_FOREVER, &event)) == POTLUCK_OK)
    print(&event);
  if (status != POTLUCK_E_CLOSED) check(status, "next");
  printf("the end\n");
  return NULL;
}

int main(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_events_t events;
  pthread_t watcher;
  check(potluck_system_open("kitchen", NULL, &kitchen), "open");
  check(potluck_peer_spawn(kitchen, "ada", NULL, &ada), "spawn");
  /* A reader begins with those who are there. A slow one misses events, and is told how many; nobody waits for it. */
  check(potluck_system_events(kitchen, 1000, &events), "events");
  if (pthread_create(&watcher, NULL, watch, &events) != 0) return 1;

  check(potluck_peer_spawn(kitchen, "bob", NULL, &bob), "spawn");
  check(potluck_peer_share(ada, "soup", "tomato", 6, NULL), "share");
  check(potluck_peer_request(bob, "ada", "soup", TIMEOUT_MS, NULL), "request");
  check(potluck_peer_share(bob, "soup", "tomato and salt", 15, NULL), "share");
  check(potluck_peer_offer(bob, "ada", "soup", TIMEOUT_MS), "offer");
  check(potluck_peer_tell(ada, "bob", "thanks", NULL, 0, TIMEOUT_MS), "tell");
  check(potluck_peer_close(bob, TIMEOUT_MS), "close");

  check(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL), "shutdown");
  if (pthread_join(watcher, NULL) != 0) return 1;
  check(potluck_events_close(events), "close events");
  return 0;
}
