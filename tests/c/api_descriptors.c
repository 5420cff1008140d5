/* Descriptors: in poll, select and epoll; several of one thing; after the end. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "harness.h"

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;

static int readable(int fd, int timeout_ms) {
  struct pollfd looked = {0, 0, 0};
  looked.fd = fd;
  looked.events = POLLIN;
  CHECK(poll(&looked, 1, timeout_ms) >= 0);
  CHECK((looked.revents & (POLLERR | POLLNVAL)) == 0);
  return (looked.revents & POLLIN) != 0;
}

static int selected(int fd) {
  fd_set looked;
  struct timeval at_once = {0, 0};
  FD_ZERO(&looked);
  FD_SET(fd, &looked);
  CHECK(select(fd + 1, &looked, NULL, NULL, &at_once) >= 0);
  return FD_ISSET(fd, &looked) != 0;
}

static void of_events(void) {
  potluck_events_t events;
  potluck_event_t event;
  potluck_peer_t eve;
  int one, two;
  event.struct_size = sizeof event;
  OK(potluck_system_events(kitchen, 8, &events));
  OK(potluck_events_fd(events, &one));
  OK(potluck_events_fd(events, &two));
  CHECK(one >= 0 && two >= 0 && one != two);
  CHECK(readable(one, 0) && readable(two, 0) && selected(one));
  while (potluck_events_next(events, 0, &event) == POTLUCK_OK) {
  }
  CHECK(!readable(one, 0) && !readable(two, 0) && !selected(two));
  CHECK(close(one) == 0);
  OK(potluck_peer_spawn(kitchen, "eve", NULL, &eve));
  CHECK(readable(two, 0) && selected(two));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
  OK(potluck_events_close(events));
  CHECK(readable(two, 0));
  one = 7;
  EXPECT(POTLUCK_E_CLOSED, potluck_events_fd(events, &one));
  CHECK(one == -1 && close(two) == 0);
}

static void of_an_inbox(void) {
  potluck_message_t message;
  struct epoll_event registered, told;
  int fd, loop = epoll_create1(EPOLL_CLOEXEC);
  OK(potluck_peer_fd(ada, &fd));
  memset(&registered, 0, sizeof registered);
  registered.events = EPOLLIN;
  registered.data.u64 = ada.id;
  CHECK(loop >= 0 && epoll_ctl(loop, EPOLL_CTL_ADD, fd, &registered) == 0);
  CHECK(epoll_wait(loop, &told, 1, 0) == 0);
  OK(potluck_peer_tell(bob, "ada", "hello", NULL, 0, 0));
  CHECK(epoll_wait(loop, &told, 1, TIMEOUT_MS) == 1 && told.data.u64 == ada.id);
  OK(potluck_peer_receive(ada, 0, &message));
  CHECK(epoll_wait(loop, &told, 1, 0) == 0);
  OK(potluck_message_release(message));
  CHECK(close(loop) == 0 && close(fd) == 0);
}

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  (void)peer;
  (void)message;
  (void)user_data;
  return POTLUCK_OK;
}

static void of_pending_calls(void) {
  potluck_call_t call;
  potluck_pending_t pending;
  potluck_message_t message;
  potluck_resource_t answer;
  int fd;
  memset(&call, 0, sizeof call);
  call.struct_size = sizeof call;
  call.verb = POTLUCK_CALL_ASK;
  call.to = "ada";
  call.name = "taste";
  call.timeout_ms = -1;
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &pending));
  OK(potluck_pending_fd(pending, &fd));
  CHECK(!readable(fd, 0));
  OK(potluck_peer_receive(ada, 0, &message));
  OK(potluck_message_reply(message, "salt", 4));
  OK(potluck_message_release(message));
  CHECK(readable(fd, TIMEOUT_MS));
  OK(potluck_pending_wait(pending, 0, &answer));
  OK(potluck_resource_release(answer));
  CHECK(readable(fd, 0));
  OK(potluck_pending_release(pending));
  CHECK(readable(fd, 0) && close(fd) == 0);

  /* Given up while somebody polls; and done at once. */
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &pending));
  OK(potluck_pending_fd(pending, &fd));
  OK(potluck_pending_release(pending));
  CHECK(readable(fd, 0) && close(fd) == 0);
  call.verb = POTLUCK_CALL_REQUEST;
  call.name = "soup";
  OK(potluck_peer_start(bob, &call, &pending));
  OK(potluck_pending_fd(pending, &fd));
  CHECK(readable(fd, 0) && close(fd) == 0);
  OK(potluck_pending_release(pending));
}

static void wrong_input(void) {
  potluck_peer_options_t options;
  potluck_peer_t cook;
  int fd = 7;
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_events_fd((potluck_events_t){ada.id}, &fd));
  CHECK(fd == -1);
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_pending_fd((potluck_pending_t){0}, &fd));
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_fd((potluck_peer_t){kitchen.id}, &fd));
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_fd((potluck_peer_t){0}, NULL));
  OK(potluck_peer_fd(ada, NULL));
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.on_message = on_message;
  OK(potluck_peer_spawn(kitchen, "cook", &options, &cook));
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "on_message", potluck_peer_fd(cook, &fd));
  CHECK(fd == -1);
}

int main(void) {
  potluck_message_t none;
  potluck_events_t events;
  potluck_event_t event;
  int of_ada, of_reader;
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  of_events();
  of_an_inbox();
  of_pending_calls();
  wrong_input();

  /* The end is something to look at, for good. */
  OK(potluck_system_events(kitchen, 8, &events));
  OK(potluck_events_fd(events, &of_reader));
  OK(potluck_peer_fd(ada, &of_ada));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  CHECK(readable(of_ada, 0) && readable(of_reader, 0));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_receive(ada, 0, &none));
  event.struct_size = sizeof event;
  while (potluck_events_next(events, 0, &event) == POTLUCK_OK) {
  }
  EXPECT(POTLUCK_E_CLOSED, potluck_events_next(events, 0, &event));
  CHECK(readable(of_reader, 0));
  OK(potluck_events_close(events));
  CHECK(readable(of_reader, 0) && close(of_reader) == 0 && close(of_ada) == 0);
  return end("api_descriptors");
}
