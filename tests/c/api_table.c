/* Every function with every wrong input, by one table: each id that it takes as 0, random, forged, stale, of another kind, and of another
 * loaded copy of the library; each text as NULL, as what is no UTF-8, and as what no such name may be; each body with a length that cannot
 * be; each struct as NULL and without its size; each timeout that means nothing; each out-parameter as NULL. tests/c.rs holds the table
 * against the header, so that nothing is left out. */
#include "harness.h"

#include <dlfcn.h>

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;
static potluck_events_t events;
static potluck_resource_t soup;
static potluck_message_t message;
static potluck_list_t list;
static potluck_pending_t pending;

/* What the table's calls are given. Outs are not 0 before. */
static potluck_resource_t got_resource;
static potluck_message_t got_message;
static potluck_list_t got_list;
static potluck_pending_t got_pending;
static potluck_events_t got_events;
static potluck_system_t got_system;
static potluck_peer_t got_peer;
static potluck_resource_info_t resource_info;
static potluck_message_info_t message_info;
static potluck_event_t event;
static potluck_error_t error;
static potluck_call_t call;
static potluck_system_options_t system_options;
static potluck_peer_options_t peer_options;
static const potluck_item_t *items;
static const uint8_t *bytes;
static size_t len;
static uint64_t version;
static unsigned released;
static int fd;

static void let_go(const uint8_t *data, size_t data_len, void *user_data) {
  (void)data, (void)data_len, (void)user_data;
  released++;
}

static void set_up(void) {
  static const potluck_call_t request = {.struct_size = sizeof request, .verb = POTLUCK_CALL_REQUEST, .to = "ada", .name = "soup"};
  got_resource.id = got_message.id = got_list.id = got_pending.id = got_events.id = got_system.id = got_peer.id = 7;
  resource_info.struct_size = sizeof resource_info;
  message_info.struct_size = sizeof message_info;
  event.struct_size = sizeof event;
  error.struct_size = sizeof error;
  call = request;
  memset(&system_options, 0, sizeof system_options);
  system_options.struct_size = sizeof system_options;
  memset(&peer_options, 0, sizeof peer_options);
  peer_options.struct_size = sizeof peer_options;
  items = (const potluck_item_t *)&items;
  bytes = (const uint8_t *)"x";
  len = 7;
  version = 7;
}

/* The rows: ROW_ID(function, parameter, kind, call with `id`), ROW_TEXT(function, parameter, what it names, call with `text`),
 * ROW_BODY(function, what is done with it, call with `data` and `data_len`), ROW_SIZED(function, parameter, variable, whether it may be
 * NULL, call with `sized`), ROW_TIMEOUT(function, call with `timeout`), ROW_OUT(function, parameter, what a call without it gives, that
 * call). */
#define IDS(ROW_ID)                                                                                                    \
  ROW_ID(potluck_system_shutdown, system, SYSTEM, (S, 0, &got_list))                                                   \
  ROW_ID(potluck_system_peers, system, SYSTEM, (S, &got_list))                                                         \
  ROW_ID(potluck_system_holders, system, SYSTEM, (S, "soup", &got_list))                                               \
  ROW_ID(potluck_system_mingle, system, SYSTEM, (S, "soup", 7, 0, &got_list))                                          \
  ROW_ID(potluck_system_dead_letters, system, SYSTEM, (S, &got_list))                                                  \
  ROW_ID(potluck_system_snapshot, system, SYSTEM, (S, &got_resource))                                                  \
  ROW_ID(potluck_system_events, system, SYSTEM, (S, 8, &got_events))                                                   \
  ROW_ID(potluck_system_wait_for, system, SYSTEM, (S, "ada", 0))                                                       \
  ROW_ID(potluck_events_next, events, EVENTS, (E, 0, &event))                                                          \
  ROW_ID(potluck_events_close, events, EVENTS, (E))                                                                    \
  ROW_ID(potluck_peer_spawn, system, SYSTEM, (S, "eve", NULL, &got_peer))                                              \
  ROW_ID(potluck_peer_close, peer, PEER, (P, 0))                                                                       \
  ROW_ID(potluck_peer_share, peer, PEER, (P, "soup", "x", 1, &version))                                                \
  ROW_ID(potluck_peer_share_if, peer, PEER, (P, "soup", "x", 1, soup, &version))                                       \
  ROW_ID(potluck_peer_share_if, expected, OPTIONAL, (ada, "soup", "x", 1, R, &version))                                \
  ROW_ID(potluck_peer_share_owned, peer, PEER, (P, "soup", "x", 1, let_go, NULL, &version))                            \
  ROW_ID(potluck_peer_unshare, peer, PEER, (P, "soup"))                                                                \
  ROW_ID(potluck_peer_get, peer, PEER, (P, "soup", &got_resource))                                                     \
  ROW_ID(potluck_peer_resources, peer, PEER, (P, &got_list))                                                           \
  ROW_ID(potluck_peer_request, peer, PEER, (P, "ada", "soup", 0, &got_resource))                                       \
  ROW_ID(potluck_peer_request_newer, peer, PEER, (P, "ada", "soup", soup, 0, &got_resource))                           \
  ROW_ID(potluck_peer_request_newer, than, OPTIONAL, (bob, "ada", "soup", R, 0, &got_resource))                        \
  ROW_ID(potluck_peer_fetch, peer, PEER, (P, "soup", 0, &got_resource))                                                \
  ROW_ID(potluck_peer_offer, peer, PEER, (P, "ada", "soup", 0))                                                        \
  ROW_ID(potluck_peer_exchange, peer, PEER, (P, "ada", "soup", 0, &got_resource))                                      \
  ROW_ID(potluck_peer_tell, peer, PEER, (P, "ada", "hello", NULL, 0, 0))                                               \
  ROW_ID(potluck_peer_ask, peer, PEER, (P, "ada", "hello", NULL, 0, 0, &got_resource))                                 \
  ROW_ID(potluck_peer_receive, peer, PEER, (P, 0, &got_message))                                                       \
  ROW_ID(potluck_peer_start, peer, PEER, (P, &call, &got_pending))                                                     \
  ROW_ID(potluck_pending_wait, pending, PENDING, (G, 0, &got_resource))                                                \
  ROW_ID(potluck_events_fd, events, EVENTS, (E, &fd))                                                                  \
  ROW_ID(potluck_peer_fd, peer, PEER, (P, &fd))                                                                        \
  ROW_ID(potluck_pending_fd, pending, PENDING, (G, &fd))                                                               \
  ROW_ID(potluck_pending_release, pending, PENDING, (G))                                                               \
  ROW_ID(potluck_resource_keep, resource, RESOURCE, (R, &got_resource))                                                \
  ROW_ID(potluck_resource_data, resource, RESOURCE, (R, &bytes, &len))                                                 \
  ROW_ID(potluck_resource_info, resource, RESOURCE, (R, &resource_info))                                               \
  ROW_ID(potluck_resource_release, resource, RESOURCE, (R))                                                            \
  ROW_ID(potluck_message_info, message, MESSAGE, (M, &message_info))                                                   \
  ROW_ID(potluck_message_reply, message, MESSAGE, (M, NULL, 0))                                                        \
  ROW_ID(potluck_message_release, message, MESSAGE, (M))                                                               \
  ROW_ID(potluck_list_items, list, LIST, (L, &items, &len))                                                            \
  ROW_ID(potluck_list_release, list, LIST, (L))

#define TEXTS(ROW_TEXT)                                                                                                \
  ROW_TEXT(potluck_set_error, text, TEXT, (text))                                                                      \
  ROW_TEXT(potluck_system_open, name, PEER_NAME, (text, NULL, &got_system))                                            \
  ROW_TEXT(potluck_system_holders, resource, RESOURCE_NAME, (kitchen, text, &got_list))                                \
  ROW_TEXT(potluck_system_mingle, resource, RESOURCE_NAME, (kitchen, text, 7, 0, &got_list))                           \
  ROW_TEXT(potluck_system_wait_for, peer, TARGET_NAME, (kitchen, text, 0))                                             \
  ROW_TEXT(potluck_peer_spawn, name, PEER_NAME, (kitchen, text, NULL, &got_peer))                                      \
  ROW_TEXT(potluck_peer_share, name, RESOURCE_NAME, (ada, text, "x", 1, &version))                                     \
  ROW_TEXT(potluck_peer_share_if, name, RESOURCE_NAME, (ada, text, "x", 1, soup, &version))                            \
  ROW_TEXT(potluck_peer_share_owned, name, RESOURCE_NAME, (ada, text, "x", 1, let_go, NULL, &version))                 \
  ROW_TEXT(potluck_peer_unshare, name, RESOURCE_NAME, (ada, text))                                                     \
  ROW_TEXT(potluck_peer_get, name, RESOURCE_NAME, (ada, text, &got_resource))                                          \
  ROW_TEXT(potluck_peer_request, from, TARGET_NAME, (bob, text, "soup", 0, &got_resource))                             \
  ROW_TEXT(potluck_peer_request, name, RESOURCE_NAME, (bob, "ada", text, 0, &got_resource))                            \
  ROW_TEXT(potluck_peer_request_newer, from, TARGET_NAME, (bob, text, "soup", soup, 0, &got_resource))                 \
  ROW_TEXT(potluck_peer_request_newer, name, RESOURCE_NAME, (bob, "ada", text, soup, 0, &got_resource))                \
  ROW_TEXT(potluck_peer_fetch, name, RESOURCE_NAME, (bob, text, 0, &got_resource))                                     \
  ROW_TEXT(potluck_peer_offer, to, TARGET_NAME, (ada, text, "soup", 0))                                                \
  ROW_TEXT(potluck_peer_offer, name, RESOURCE_NAME, (ada, "bob", text, 0))                                             \
  ROW_TEXT(potluck_peer_exchange, with, TARGET_NAME, (ada, text, "soup", 0, &got_resource))                            \
  ROW_TEXT(potluck_peer_exchange, name, RESOURCE_NAME, (ada, "bob", text, 0, &got_resource))                           \
  ROW_TEXT(potluck_peer_tell, to, TARGET_NAME, (ada, text, "hello", NULL, 0, 0))                                       \
  ROW_TEXT(potluck_peer_tell, kind, MESSAGE_KIND, (ada, "bob", text, NULL, 0, 0))                                      \
  ROW_TEXT(potluck_peer_ask, to, TARGET_NAME, (ada, text, "hello", NULL, 0, 0, &got_resource))                         \
  ROW_TEXT(potluck_peer_ask, kind, MESSAGE_KIND, (ada, "bob", text, NULL, 0, 0, &got_resource))

#define BODIES(ROW_BODY)                                                                                               \
  ROW_BODY(potluck_peer_share, COPIED, (ada, "soup", data, data_len, &version))                                        \
  ROW_BODY(potluck_peer_share_if, COPIED, (ada, "soup", data, data_len, soup, &version))                               \
  ROW_BODY(potluck_peer_share_owned, ADOPTED, (ada, "soup", data, data_len, let_go, NULL, &version))                   \
  ROW_BODY(potluck_peer_tell, COPIED, (ada, "bob", "hello", data, data_len, 0))                                        \
  ROW_BODY(potluck_peer_ask, COPIED, (ada, "bob", "hello", data, data_len, 0, &got_resource))                          \
  ROW_BODY(potluck_message_reply, COPIED, (message, data, data_len))

/* Options may be NULL; what is filled in, or read, may not. */
#define SIZED(ROW_SIZED)                                                                                               \
  ROW_SIZED(potluck_last_error_detail, out_error, error, NEEDED, (sized))                                              \
  ROW_SIZED(potluck_system_open, options, system_options, OR_NULL, ("pantry", sized, NULL))                            \
  ROW_SIZED(potluck_events_next, out_event, event, NEEDED, (events, 0, sized))                                         \
  ROW_SIZED(potluck_peer_spawn, options, peer_options, OR_NULL, (kitchen, "ada", sized, &got_peer))                    \
  ROW_SIZED(potluck_peer_start, call, call, NEEDED, (bob, sized, &got_pending))                                        \
  ROW_SIZED(potluck_resource_info, out_info, resource_info, NEEDED, (soup, sized))                                     \
  ROW_SIZED(potluck_message_info, out_info, message_info, NEEDED, (message, sized))

#define TIMEOUTS(ROW_TIMEOUT)                                                                                          \
  ROW_TIMEOUT(potluck_system_shutdown, (kitchen, timeout, &got_list))                                                  \
  ROW_TIMEOUT(potluck_system_mingle, (kitchen, "soup", 7, timeout, &got_list))                                         \
  ROW_TIMEOUT(potluck_system_wait_for, (kitchen, "ada", timeout))                                                      \
  ROW_TIMEOUT(potluck_events_next, (events, timeout, &event))                                                          \
  ROW_TIMEOUT(potluck_peer_close, (ada, timeout))                                                                      \
  ROW_TIMEOUT(potluck_peer_request, (bob, "ada", "soup", timeout, &got_resource))                                      \
  ROW_TIMEOUT(potluck_peer_request_newer, (bob, "ada", "soup", soup, timeout, &got_resource))                          \
  ROW_TIMEOUT(potluck_peer_fetch, (bob, "soup", timeout, &got_resource))                                               \
  ROW_TIMEOUT(potluck_peer_offer, (ada, "bob", "soup", timeout))                                                       \
  ROW_TIMEOUT(potluck_peer_exchange, (ada, "bob", "soup", timeout, &got_resource))                                     \
  ROW_TIMEOUT(potluck_peer_tell, (ada, "bob", "hello", NULL, 0, timeout))                                              \
  ROW_TIMEOUT(potluck_peer_ask, (ada, "bob", "hello", NULL, 0, timeout, &got_resource))                                \
  ROW_TIMEOUT(potluck_peer_receive, (ada, timeout, &got_message))                                                      \
  ROW_TIMEOUT(potluck_pending_wait, (pending, timeout, &got_resource))

/* What is not wanted is not given; what would be lost, or could never be ended, must be wanted. */
#define OUTS(ROW_OUT)                                                                                                  \
  ROW_OUT(potluck_check, out_version, OK, (POTLUCK_ABI, NULL))                                                         \
  ROW_OUT(potluck_system_open, out_system, NEEDED, ("pantry", NULL, NULL))                                             \
  ROW_OUT(potluck_system_shutdown, out_report, OK, (pantry, TIMEOUT_MS, NULL))                                         \
  ROW_OUT(potluck_system_peers, out_list, OK, (kitchen, NULL))                                                         \
  ROW_OUT(potluck_system_holders, out_list, OK, (kitchen, "soup", NULL))                                               \
  ROW_OUT(potluck_system_mingle, out_list, OK, (kitchen, "soup", 7, 0, NULL))                                          \
  ROW_OUT(potluck_system_dead_letters, out_list, OK, (kitchen, NULL))                                                  \
  ROW_OUT(potluck_system_snapshot, out_json, OK, (kitchen, NULL))                                                      \
  ROW_OUT(potluck_system_events, out_events, NEEDED, (kitchen, 8, NULL))                                               \
  ROW_OUT(potluck_events_fd, out_fd, OK, (events, NULL))                                                               \
  ROW_OUT(potluck_peer_spawn, out_peer, OK, (kitchen, "eve", NULL, NULL))                                              \
  ROW_OUT(potluck_peer_share, out_version, OK, (ada, "pie", "x", 1, NULL))                                             \
  ROW_OUT(potluck_peer_share_if, out_version, VERSION_CONFLICT, (ada, "pie", "x", 1, (potluck_resource_t){0}, NULL))   \
  ROW_OUT(potluck_peer_share_owned, out_version, OK, (ada, "pie", "x", 1, let_go, NULL, NULL))                         \
  ROW_OUT(potluck_peer_get, out_resource, OK, (ada, "soup", NULL))                                                     \
  ROW_OUT(potluck_peer_resources, out_list, OK, (ada, NULL))                                                           \
  ROW_OUT(potluck_peer_request, out_resource, OK, (bob, "ada", "soup", INT64_MAX, NULL))                               \
  ROW_OUT(potluck_peer_request_newer, out_resource, NOT_NEWER, (bob, "ada", "soup", soup, 0, NULL))                    \
  ROW_OUT(potluck_peer_fetch, out_resource, OK, (bob, "soup", 0, NULL))                                                \
  ROW_OUT(potluck_peer_exchange, out_resource, OK, (ada, "bob", "soup", 0, NULL))                                      \
  ROW_OUT(potluck_peer_ask, out_reply, TIMED_OUT, (ada, "bob", "hello", NULL, 0, 0, NULL))                             \
  ROW_OUT(potluck_peer_receive, out_message, NEEDED, (bob, 0, NULL))                                                   \
  ROW_OUT(potluck_peer_fd, out_fd, OK, (ada, NULL))                                                                    \
  ROW_OUT(potluck_peer_start, out_pending, NEEDED, (bob, &call, NULL))                                                 \
  ROW_OUT(potluck_pending_wait, out_result, OK, (pending, 0, NULL))                                                    \
  ROW_OUT(potluck_pending_fd, out_fd, OK, (pending, NULL))                                                             \
  ROW_OUT(potluck_resource_keep, out_resource, OK, (soup, NULL))                                                       \
  ROW_OUT(potluck_resource_data, out_data, OK, (soup, NULL, &len))                                                     \
  ROW_OUT(potluck_resource_data, out_data_len, OK, (soup, &bytes, NULL))                                               \
  ROW_OUT(potluck_list_items, out_items, OK, (list, NULL, &len))                                                       \
  ROW_OUT(potluck_list_items, out_items_len, OK, (list, &items, NULL))

enum { SYSTEM = 1, PEER, EVENTS, RESOURCE, MESSAGE, LIST, PENDING, OPTIONAL };

/* Each row with one id, except for the rows of its own kind, unless it is over. */
static void every_id(uint64_t id, int kind, int is_stale) {
  const potluck_system_t S = {id};
  const potluck_peer_t P = {id};
  const potluck_events_t E = {id};
  const potluck_resource_t R = {id};
  const potluck_message_t M = {id};
  const potluck_list_t L = {id};
  const potluck_pending_t G = {id};
  potluck_status_t wanted;
  int own;
#define ROW_ID(function, parameter, of_kind, arguments)                                              \
  own = of_kind == OPTIONAL ? RESOURCE : of_kind;                                                    \
  /* A name that is over is closed, and may be closed again. */                                      \
  wanted = own != kind || own >= RESOURCE ? POTLUCK_E_INVALID_HANDLE : POTLUCK_E_CLOSED;             \
  if (wanted == POTLUCK_E_CLOSED && (strstr(#function, "_close") || strstr(#function, "_shutdown"))) wanted = POTLUCK_OK; \
  if ((own != kind || is_stale) && !(of_kind == OPTIONAL && (id == 0 || (is_stale && kind < EVENTS)))) {                              \
    set_up();                                                                                        \
    EXPECT(wanted, function arguments);                                                              \
    if (strstr(#arguments, "&got") && wanted != POTLUCK_OK)                                          \
      CHECK((got_resource.id & got_message.id & got_list.id & got_pending.id & got_events.id & got_peer.id) == 0); \
    if (strstr(#arguments, "&version")) CHECK(version == 0);                                         \
    if (strstr(#arguments, "&bytes")) CHECK(bytes == NULL && len == 0);                              \
    if (strstr(#arguments, "&items")) CHECK(items == NULL && len == 0);                              \
    if (wanted == POTLUCK_OK && strstr(#function, "_shutdown")) OK(potluck_list_release(got_list));  \
  }
  IDS(ROW_ID)
}

/* What no name may have, and of which names that is so. */
enum { TEXT = 0, MESSAGE_KIND = 1, RESOURCE_NAME = 2, TARGET_NAME = 4, PEER_NAME = 8, ANY_NAME = 15 };
static char too_long[POTLUCK_NAME_SIZE + 1], longest[POTLUCK_NAME_SIZE];
static const struct {
  const char *name;
  int no_name_of;
} bad_names[] = {
    {"", ANY_NAME},
    {"a\nb", ANY_NAME},
    {"\x7f", ANY_NAME},
    {too_long, ANY_NAME},
    {"a*b", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"a$b", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"a#b", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"a?b", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"a//b", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"/a", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"a/", RESOURCE_NAME | TARGET_NAME | PEER_NAME},
    {"a/b", TARGET_NAME | PEER_NAME},
    {"a@b", RESOURCE_NAME | PEER_NAME},
};

static void every_text(void) {
  static const char no_utf8[] = "\xff\xfe";
  const char *text;
  size_t i;
#define TEXT_STATUS(kind) ((kind) == TEXT ? POTLUCK_E_INVALID_ARGUMENT : POTLUCK_E_INVALID_NAME)
#define ROW_TEXT(function, parameter, kind, arguments)                                               \
  set_up();                                                                                          \
  text = NULL;                                                                                       \
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, #parameter " is NULL", function arguments);                \
  text = no_utf8;                                                                                    \
  EXPECT_TEXT(TEXT_STATUS(kind), "UTF-8", function arguments);                                       \
  for (i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {                                       \
    if (!(bad_names[i].no_name_of & (kind))) continue;                                               \
    set_up();                                                                                        \
    text = bad_names[i].name;                                                                        \
    EXPECT_TEXT(POTLUCK_E_INVALID_NAME, "invalid name", function arguments);                         \
    if (strstr(#arguments, "&got"))                                                                  \
      CHECK((got_resource.id & got_list.id & got_system.id & got_peer.id) == 0);                     \
    if (strstr(#arguments, "&version")) CHECK(version == 0);                                         \
  }
  TEXTS(ROW_TEXT)
  memset(longest, 'a', sizeof longest - 1);
  OK(potluck_peer_share(ada, longest, "x", 1, NULL));
  OK(potluck_peer_unshare(ada, longest));
}

static void every_body(void) {
  const void *data;
  size_t data_len;
  /* An adopted buffer is where it says it is; of what is copied there may be more than there is memory. */
#define ADOPTED(function, arguments)
#define COPIED(function, arguments)                                                                  \
  data_len = SIZE_MAX / 2;                                                                           \
  EXPECT_TEXT(POTLUCK_E_LIMIT_REACHED, "memory", function arguments);
#define ROW_BODY(function, taken, arguments)                                                         \
  set_up();                                                                                          \
  data = NULL;                                                                                       \
  data_len = 1;                                                                                      \
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "data is NULL", function arguments);                       \
  data = "x";                                                                                        \
  data_len = SIZE_MAX;                                                                               \
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "data_len", function arguments);                           \
  data_len = SIZE_MAX / 2 + 1;                                                                       \
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "data_len", function arguments);                           \
  taken(function, arguments)
  BODIES(ROW_BODY)
}

static void every_sized(void) {
  static const size_t wrong[] = {0, 1, sizeof(size_t), sizeof(size_t) + 4, ((size_t)1 << 16) + 8, SIZE_MAX};
  size_t i;
#define NEEDED(function, arguments) EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, " is NULL", function arguments);
#define OR_NULL(function, arguments)
#define ROW_SIZED(function, parameter, variable, null, arguments)                                    \
  set_up();                                                                                          \
  {                                                                                                  \
    __typeof__(&variable) sized = NULL;                                                              \
    null(function, arguments) sized = &variable;                                                     \
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {                                             \
      variable.struct_size = wrong[i];                                                               \
      EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "struct_size", function arguments);                    \
    }                                                                                                \
  }
  SIZED(ROW_SIZED)
}

static void every_timeout(void) {
  static const int64_t wrong[] = {-2, -1000, INT64_MIN};
  size_t i;
  int64_t timeout;
#define ROW_TIMEOUT(function, arguments)                                                             \
  for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {                                               \
    set_up();                                                                                        \
    timeout = wrong[i];                                                                              \
    EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "timeout_ms", function arguments);                       \
  }
  TIMEOUTS(ROW_TIMEOUT)
}

static void every_out(void) {
  potluck_system_t pantry;
  const potluck_status_t NEEDED_STATUS = POTLUCK_E_INVALID_ARGUMENT, OK_STATUS = POTLUCK_OK, NOT_NEWER_STATUS = POTLUCK_NOT_NEWER,
                         TIMED_OUT_STATUS = POTLUCK_E_TIMED_OUT, VERSION_CONFLICT_STATUS = POTLUCK_E_VERSION_CONFLICT;
  OK(potluck_system_open("pantry", NULL, &pantry));
#define ROW_OUT(function, parameter, gives, arguments)                                               \
  set_up();                                                                                          \
  EXPECT(gives##_STATUS, function arguments);                                                        \
  if (gives##_STATUS == POTLUCK_E_INVALID_ARGUMENT) CHECK(strstr(potluck_last_error(), #parameter " is NULL"));
  OUTS(ROW_OUT)
}

/* The ids of another copy of the library are nobody's here. */
static void ids_of_another_copy(const char *path) {
  potluck_status_t (*open)(const char *, const potluck_system_options_t *, potluck_system_t *);
  potluck_status_t (*peers)(potluck_system_t, potluck_list_t *);
  potluck_status_t (*shutdown)(potluck_system_t, int64_t, potluck_list_t *);
  potluck_system_t other;
  potluck_list_t others_list;
  void *found, *copy = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  int kind;
  if (copy == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(copy != NULL);
#define FIND(function, name)                                                                         \
  found = dlsym(copy, name);                                                                         \
  CHECK(found != NULL);                                                                              \
  memcpy(&function, &found, sizeof found);
  FIND(open, "potluck_system_open")
  FIND(peers, "potluck_system_peers")
  FIND(shutdown, "potluck_system_shutdown")
  CHECK(open != potluck_system_open);
  OK(open("kitchen", NULL, &other));
  OK(peers(other, &others_list));
  EXPECT_TEXT(POTLUCK_E_INVALID_HANDLE, "another loaded copy", potluck_system_peers(other, NULL));
  EXPECT_TEXT(POTLUCK_E_INVALID_HANDLE, "another loaded copy", potluck_list_release(others_list));
  EXPECT(POTLUCK_E_INVALID_HANDLE, peers(kitchen, NULL));
  for (kind = SYSTEM; kind <= PENDING; kind++)
    every_id((other.id & ~(UINT64_C(15) << 60)) | (uint64_t)kind << 60, 0, 0);
  OK(shutdown(other, TIMEOUT_MS, NULL));
}

int main(int argc, char **argv) {
  static const uint64_t never[] = {0, 1, 42, UINT64_MAX, UINT64_C(1) << 60, UINT64_C(15) << 60, UINT64_C(0x4242424242424242)};
  size_t i;
  int bit;
  begin();
  set_up();
  memset(too_long, 'a', sizeof too_long - 1);
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_system_events(kitchen, 8, &events));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_get(ada, "soup", &soup));
  OK(potluck_peer_tell(ada, "bob", "hello", NULL, 0, 0));
  OK(potluck_peer_receive(bob, 0, &message));
  OK(potluck_system_peers(kitchen, &list));
  OK(potluck_peer_start(bob, &call, &pending));
  {
    /* By kind, from SYSTEM on. */
    const uint64_t ids[] = {kitchen.id, ada.id, events.id, soup.id, message.id, list.id, pending.id};
    for (i = 0; i < sizeof never / sizeof *never; i++) every_id(never[i], 0, 0);
    for (i = 0; i < PENDING; i++) every_id(ids[i], (int)i + 1, 0);
    /* Forged: one bit of the tag is another, or of the generation, above those that were issued. (Others give ids that may live.) */
    for (i = 0; i < PENDING; i++)
      for (bit = 40; bit < 60; bit++) every_id(ids[i] ^ UINT64_C(1) << bit, 0, 0);
    every_text();
    every_body();
    every_sized();
    every_timeout();
    every_out();
    CHECK(argc == 2);
    ids_of_another_copy(argv[1]);

    /* Nothing of this has lost anything. */
    CHECK(holds(soup, "tomato"));
    OK(potluck_resource_release(soup));
    OK(potluck_message_release(message));
    OK(potluck_list_release(list));
    OK(potluck_pending_release(pending));
    OK(potluck_events_close(events));
    for (i = EVENTS - 1; i < PENDING; i++) every_id(ids[i], (int)i + 1, 1);
    EXPECT_TEXT(POTLUCK_E_INVALID_HANDLE, "released", potluck_resource_release(soup));
    /* The slot is used again, the id is not. */
    OK(potluck_peer_get(ada, "soup", &got_resource));
    CHECK(got_resource.id != soup.id);
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_release(soup));
    OK(potluck_resource_release(got_resource));
    OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
    for (i = 0; i < PEER; i++) every_id(ids[i], (int)i + 1, 1);
  }
  CHECK(released > 0);
  return end("api_table");
}
