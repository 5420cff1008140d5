/* An event loop without a thread of its own: one poll waits for messages, for events and for the answer of a call at once.
 *
 * The host acts as two peers: "desk" has an inbox, "guest" asks it. Nobody blocks in a call of the library: each is made with timeout 0
 * when its descriptor says that it returns at once. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "potluck.h"

static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK || status == POTLUCK_PENDING) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

static void print_event(potluck_events_t events) {
  potluck_event_t event = {.struct_size = sizeof event};
  while (potluck_events_next(events, 0, &event) == POTLUCK_OK)
    if (event.kind == POTLUCK_EVENT_JOINED) printf("%s joined\n", event.peer);
}

static void answer_message(potluck_peer_t desk) {
  potluck_message_t message;
  potluck_message_info_t info = {.struct_size = sizeof info};
  check(potluck_peer_receive(desk, 0, &message), "receive");
  check(potluck_message_info(message, &info), "info");
  printf("%s asks: %s\n", info.from, info.kind);
  check(potluck_message_reply(message, "room 7", 6), "reply");
  check(potluck_message_release(message), "release");
}

static void print_answer(potluck_pending_t pending) {
  potluck_resource_t answer;
  const uint8_t *data;
  size_t data_len;
  check(potluck_pending_wait(pending, 0, &answer), "wait");
  check(potluck_resource_data(answer, &data, &data_len), "data");
  printf("the answer: %.*s\n", (int)data_len, (const char *)data);
  check(potluck_resource_release(answer), "release");
}

int main(void) {
  potluck_system_t house;
  potluck_peer_t desk, guest;
  potluck_events_t events;
  potluck_pending_t pending;
  enum { EVENTS, MESSAGES, ANSWER, SOURCES };
  struct pollfd sources[SOURCES] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
  check(potluck_system_open("house", NULL, &house), "open");
  check(potluck_system_events(house, 16, &events), "events");
  check(potluck_peer_spawn(house, "desk", NULL, &desk), "spawn");
  check(potluck_peer_spawn(house, "guest", NULL, &guest), "spawn");
  check(potluck_peer_start(guest,
                           &(potluck_call_t){.struct_size = sizeof(potluck_call_t), .verb = POTLUCK_CALL_ASK,
                                             .to = "desk", .name = "where do I sleep?", .timeout_ms = 10000},
                           &pending), "start");
  check(potluck_events_fd(events, &sources[EVENTS].fd), "events_fd");
  check(potluck_peer_fd(desk, &sources[MESSAGES].fd), "peer_fd");
  check(potluck_pending_fd(pending, &sources[ANSWER].fd), "pending_fd");
  for (int is_answered = 0; !is_answered;) {
    if (poll(sources, SOURCES, 10000) <= 0) return 1;
    if (sources[EVENTS].revents) print_event(events);
    if (sources[MESSAGES].revents) answer_message(desk);
    is_answered = sources[ANSWER].revents != 0;
  }
  print_answer(pending);
  for (int source = 0; source < SOURCES; source++) close(sources[source].fd);
  check(potluck_pending_release(pending), "release");
  check(potluck_system_shutdown(house, 10000, NULL), "shutdown");
  return potluck_events_close(events);
}
