/* A panic inside the library comes back as POTLUCK_E_PANIC from every function: one at its boundary, and one at each check that the call
 * makes on its way, of which the last may come when the call has had its effect. What was taken at entry is given back exactly once,
 * out-parameters are 0, and the library works on. Linked with a library that has the feature `test-panics`, and so two functions more.
 * tests/c.rs holds the table against the header. */
#include "../c/harness.h"

#ifdef __cplusplus
extern "C" {
#endif
/* The next call on this thread panics: at its boundary (0), or at the check of this number. */
void potluck_test_arm(uint32_t place);
/* Whether it has not panicked; it will not any more. */
int32_t potluck_test_disarm(void);
#ifdef __cplusplus
}
#endif

/* What a call may need, made anew for each. */
static potluck_system_t kitchen;
static potluck_peer_t ada, bob;
static potluck_events_t events;
static potluck_resource_t soup;
static potluck_message_t message;
static potluck_list_t list;
static potluck_pending_t pending;
static potluck_call_t call;
static potluck_peer_options_t options;
static potluck_event_t event = {.struct_size = sizeof event};
static potluck_error_t error = {.struct_size = sizeof error};
static potluck_resource_info_t resource_info = {.struct_size = sizeof resource_info};
static potluck_message_info_t message_info = {.struct_size = sizeof message_info};

/* What it gives; not 0 before. */
static potluck_system_t got_system;
static potluck_peer_t got_peer;
static potluck_events_t got_events;
static potluck_resource_t got_resource;
static potluck_message_t got_message;
static potluck_list_t got_list;
static potluck_pending_t got_pending;
static const potluck_item_t *items;
static const uint8_t *bytes;
static size_t len;
static uint64_t version;
static uint32_t library;
static int fd;

/* How often the user data was dropped or the buffer released. */
static unsigned freed;

static void drop(void *user_data) {
  (void)user_data;
  freed++;
}

static void let_go(const uint8_t *data, size_t data_len, void *user_data) {
  (void)data, (void)data_len, (void)user_data;
  freed++;
}

static void open_kitchen(void) {
  static const potluck_call_t request = {.struct_size = sizeof request, .verb = POTLUCK_CALL_REQUEST, .to = "ada", .name = "soup"};
  call = request;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.drop = drop;
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_system_events(kitchen, 8, &events));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_get(ada, "soup", &soup));
  OK(potluck_peer_tell(bob, "ada", "hello", NULL, 0, 0));
  OK(potluck_peer_receive(ada, 0, &message));
  OK(potluck_peer_tell(bob, "ada", "hello", NULL, 0, 0));
  OK(potluck_system_peers(kitchen, &list));
  OK(potluck_peer_start(bob, &call, &pending));
  /* Not what the call that was started has put there. */
  OK(potluck_peer_share(bob, "soup", "potato", 6, NULL));
  got_system.id = got_peer.id = got_events.id = got_resource.id = got_message.id = got_list.id = got_pending.id = 7;
  items = (const potluck_item_t *)&items;
  bytes = (const uint8_t *)"x";
  len = 7;
  version = 7;
  library = 7;
  fd = 7;
  freed = 0;
}

/* Releases what a call has given, whatever it was; so the sanitizers see what a panic would leave behind. */
static void close_kitchen(void) {
  potluck_system_t pantry;
  potluck_peer_t eve;
  potluck_resource_t pie;
  if (got_system.id != 7 && got_system.id != 0) OK(potluck_system_shutdown(got_system, TIMEOUT_MS, NULL));
  if (got_events.id != 7 && got_events.id != 0) OK(potluck_events_close(got_events));
  if (got_resource.id != 7 && got_resource.id != 0) OK(potluck_resource_release(got_resource));
  if (got_message.id != 7 && got_message.id != 0) OK(potluck_message_release(got_message));
  if (got_list.id != 7 && got_list.id != 0) OK(potluck_list_release(got_list));
  if (got_pending.id != 7 && got_pending.id != 0) OK(potluck_pending_release(got_pending));
  if (fd != 7 && fd != -1) CHECK(close(fd) == 0);
  /* One of these may have been what was called. */
  potluck_resource_release(soup);
  potluck_message_release(message);
  potluck_list_release(list);
  potluck_pending_release(pending);
  /* The library works on, and all ends as ever. */
  OK(potluck_peer_close(bob, TIMEOUT_MS));
  OK(potluck_system_open("pantry", NULL, &pantry));
  OK(potluck_peer_spawn(pantry, "eve", NULL, &eve));
  OK(potluck_peer_share(eve, "pie", "cherry", 6, NULL));
  OK(potluck_peer_request(eve, "eve", "pie", 0, &pie));
  CHECK(holds(pie, "cherry"));
  OK(potluck_resource_release(pie));
  OK(potluck_system_shutdown(pantry, TIMEOUT_MS, NULL));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  OK(potluck_events_close(events));
}

/* Every function, what its call answers without a panic, whether its out-parameter is 0 after one, whether it takes something, and the
 * call. The two that give a text instead of a status leave another one at a panic: "unknown status", and none. */
#define TOLD(text, otherwise) (strcmp(text, otherwise) == 0 ? POTLUCK_E_PANIC : POTLUCK_OK)
#define CALLS(ROW)                                                                                                                  \
  ROW(potluck_check, OK, library == 0, 0, potluck_check(POTLUCK_ABI, &library))                                                     \
  ROW(potluck_status_str, OK, 1, 0, TOLD(potluck_status_str(POTLUCK_E_PANIC), "unknown status"))                                    \
  ROW(potluck_last_error, OK, 1, 0, TOLD(potluck_last_error(), ""))                                                                 \
  ROW(potluck_last_error_detail, OK, error.status == 0, 0, potluck_last_error_detail(&error))                                       \
  ROW(potluck_set_error, E_INVALID_ARGUMENT, 1, 0, potluck_set_error("no"))                                                         \
  ROW(potluck_system_open, OK, got_system.id == 0, 0, potluck_system_open("pantry", NULL, &got_system))                             \
  ROW(potluck_system_shutdown, OK, got_list.id == 0, 0, potluck_system_shutdown(kitchen, TIMEOUT_MS, &got_list))                    \
  ROW(potluck_system_peers, OK, got_list.id == 0, 0, potluck_system_peers(kitchen, &got_list))                                      \
  ROW(potluck_system_holders, OK, got_list.id == 0, 0, potluck_system_holders(kitchen, "soup", &got_list))                          \
  ROW(potluck_system_mingle, OK, got_list.id == 0, 0, potluck_system_mingle(kitchen, "soup", 7, 0, &got_list))                      \
  ROW(potluck_system_dead_letters, OK, got_list.id == 0, 0, potluck_system_dead_letters(kitchen, &got_list))                        \
  ROW(potluck_system_snapshot, OK, got_resource.id == 0, 0, potluck_system_snapshot(kitchen, &got_resource))                        \
  ROW(potluck_system_events, OK, got_events.id == 0, 0, potluck_system_events(kitchen, 8, &got_events))                             \
  ROW(potluck_system_wait_for, OK, 1, 0, potluck_system_wait_for(kitchen, "ada", 0))                                                \
  ROW(potluck_events_next, OK, event.kind == 0, 0, potluck_events_next(events, 0, &event))                                          \
  ROW(potluck_events_fd, OK, fd == -1, 0, potluck_events_fd(events, &fd))                                                           \
  ROW(potluck_events_close, OK, 1, 0, potluck_events_close(events))                                                                 \
  ROW(potluck_peer_spawn, OK, got_peer.id == 0, 1, potluck_peer_spawn(kitchen, "eve", &options, &got_peer))                         \
  ROW(potluck_peer_close, OK, 1, 0, potluck_peer_close(bob, TIMEOUT_MS))                                                            \
  ROW(potluck_peer_share, OK, version == 0, 0, potluck_peer_share(ada, "pie", NULL, 0, &version))                                   \
  ROW(potluck_peer_share_if, OK, version == 0, 0, potluck_peer_share_if(ada, "soup", NULL, 0, soup, &version))                      \
  ROW(potluck_peer_share_owned, OK, version == 0, 1, potluck_peer_share_owned(ada, "pie", "pie", 3, let_go, NULL, &version))        \
  ROW(potluck_peer_unshare, OK, 1, 0, potluck_peer_unshare(ada, "soup"))                                                            \
  ROW(potluck_peer_get, OK, got_resource.id == 0, 0, potluck_peer_get(ada, "soup", &got_resource))                                  \
  ROW(potluck_peer_resources, OK, got_list.id == 0, 0, potluck_peer_resources(ada, &got_list))                                      \
  ROW(potluck_peer_request, OK, got_resource.id == 0, 0, potluck_peer_request(bob, "ada", "soup", 0, &got_resource))                \
  ROW(potluck_peer_request_newer, OK, got_resource.id == 0, 0, potluck_peer_request_newer(ada, "bob", "soup", soup, 0, &got_resource)) \
  ROW(potluck_peer_fetch, OK, got_resource.id == 0, 0, potluck_peer_fetch(bob, "soup", 0, &got_resource))                           \
  ROW(potluck_peer_offer, OK, 1, 0, potluck_peer_offer(ada, "bob", "soup", 0))                                                      \
  ROW(potluck_peer_exchange, OK, got_resource.id == 0, 0, potluck_peer_exchange(ada, "bob", "soup", 0, &got_resource))              \
  ROW(potluck_peer_tell, OK, 1, 0, potluck_peer_tell(ada, "bob", "hello", NULL, 0, 0))                                              \
  ROW(potluck_peer_ask, E_TIMED_OUT, got_resource.id == 0, 0, potluck_peer_ask(ada, "bob", "hello", NULL, 0, 0, &got_resource))     \
  ROW(potluck_peer_receive, OK, got_message.id == 0, 0, potluck_peer_receive(ada, 0, &got_message))                                 \
  ROW(potluck_peer_fd, OK, fd == -1, 0, potluck_peer_fd(ada, &fd))                                                                  \
  ROW(potluck_peer_start, OK, got_pending.id == 0, 0, potluck_peer_start(bob, &call, &got_pending))                                 \
  ROW(potluck_pending_wait, OK, got_resource.id == 0, 0, potluck_pending_wait(pending, 0, &got_resource))                           \
  ROW(potluck_pending_fd, OK, fd == -1, 0, potluck_pending_fd(pending, &fd))                                                        \
  ROW(potluck_pending_release, OK, 1, 0, potluck_pending_release(pending))                                                          \
  ROW(potluck_resource_keep, OK, got_resource.id == 0, 0, potluck_resource_keep(soup, &got_resource))                               \
  ROW(potluck_resource_data, OK, bytes == NULL && len == 0, 0, potluck_resource_data(soup, &bytes, &len))                           \
  ROW(potluck_resource_info, OK, resource_info.name == NULL, 0, potluck_resource_info(soup, &resource_info))                        \
  ROW(potluck_resource_release, OK, 1, 0, potluck_resource_release(soup))                                                           \
  ROW(potluck_message_info, OK, message_info.kind == NULL, 0, potluck_message_info(message, &message_info))                         \
  ROW(potluck_message_reply, E_INVALID_ARGUMENT, 1, 0, potluck_message_reply(message, NULL, 0))                                     \
  ROW(potluck_message_release, OK, 1, 0, potluck_message_release(message))                                                          \
  ROW(potluck_list_items, OK, items == NULL && len == 0, 0, potluck_list_items(list, &items, &len))                                 \
  ROW(potluck_list_release, OK, 1, 0, potluck_list_release(list))

/* Of a row: with a panic at this place, if the call comes there. */
#define TRY(function, wanted, is_zero, takes, called)                                                                \
  for (place = 0, has_panicked = 1; has_panicked; place++) {                                                         \
    open_kitchen();                                                                                                  \
    EXPECT(POTLUCK_E_ABI_MISMATCH, potluck_check(POTLUCK_ABI + 1, NULL));                                            \
    memset(&event.kind, 7, sizeof event.kind);                                                                       \
    resource_info.name = message_info.kind = "x";                                                                    \
    potluck_test_arm(place);                                                                                         \
    status = called;                                                                                                 \
    has_panicked = !potluck_test_disarm();                                                                           \
    if (has_panicked) {                                                                                              \
      CHECK(status == POTLUCK_E_PANIC);                                                                              \
      CHECK(strcmp(#function, "potluck_last_error") == 0 || strcmp(#function, "potluck_status_str") == 0 ||          \
            strstr(potluck_last_error(), "on purpose") != NULL);                                                     \
      /* At the boundary the call has not begun. */                                                                  \
      CHECK(place == 0 || (is_zero));                                                                                \
      panics++;                                                                                                      \
    } else {                                                                                                         \
      CHECK(place > 0);                                                                                              \
      CHECK(status == POTLUCK_##wanted);                                                                             \
    }                                                                                                                \
    close_kitchen();                                                                                                 \
    CHECK(freed == (takes && !(has_panicked && place == 0)));                                                        \
  }                                                                                                                  \
  functions++;

int main(void) {
  potluck_status_t status;
  uint32_t place;
  int has_panicked, functions = 0, panics = 0;
  begin();
  CALLS(TRY)
  /* All but a few look whether this is a forked child. */
  CHECK(panics > 2 * functions - 10);
  printf("%d panics in %d functions\n", panics, functions);
  return end("panics");
}
