/* In a child made by fork every call answers FORKED at once, whatever the parent's threads were doing; the parent goes on. */
#include "harness.h"

#include <pthread.h>
#include <sys/types.h>
#include <sys/wait.h>

#define BUSY_LEN 4
/* Whoever compiles may give another number. */
#ifndef FORKS
#define FORKS 500
#endif
#define CHILD_DEADLINE_S 20

#define FORKED(call) EXPECT(POTLUCK_E_FORKED, call)

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;
static potluck_events_t events;
static potluck_resource_t soup;
static potluck_message_t message;
static potluck_list_t list;
static potluck_pending_t pending;
static pid_t parent;

/* A child that hangs ends by its own alarm, which it does not inherit. */
static pid_t forked(void) {
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) alarm(CHILD_DEADLINE_S);
  return pid;
}

/* The child ends with this code; the parent's alarm is the deadline. */
static void expect_end(pid_t pid, int code) {
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  if (WIFSIGNALED(status)) fprintf(stderr, "the child ended by signal %d\n", WTERMSIG(status));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

/* The leak sanitizer asks this at the end of a process. In a child there are no threads but one, so that all which the stacks of
 * the others hold looks like a leak; the parent is looked at. */
#ifdef __cplusplus
extern "C"
#endif
    int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return getpid() != parent; }

static unsigned dropped;

static void drop(void *user_data) { *(unsigned *)user_data += 1; }

static void let_go(const uint8_t *buffer, size_t buffer_len, void *user_data) {
  CHECK(buffer_len == 6 && memcmp(buffer, "cheese", 6) == 0);
  drop(user_data);
}

/* Every function of the header. The first ones, which touch no peer, answer as ever. */
static void everything_is_forked(void) {
  potluck_error_t error = {sizeof error, 0, 0, 0, 0, NULL};
  potluck_peer_options_t options = {.struct_size = sizeof options, .user_data = &dropped, .drop = drop};
  potluck_resource_info_t resource_info = {.struct_size = sizeof resource_info};
  potluck_message_info_t message_info = {.struct_size = sizeof message_info};
  potluck_event_t event = {.struct_size = sizeof event};
  potluck_system_t system = {7};
  potluck_events_t reader = {7};
  potluck_resource_t resource = {7};
  potluck_message_t received = {7};
  potluck_peer_t peer = {7};
  potluck_list_t items = {7};
  potluck_pending_t started = {7};
  potluck_call_t call = {.struct_size = sizeof call, .verb = POTLUCK_CALL_REQUEST, .to = "ada", .name = "soup"};
  const potluck_item_t *array;
  const uint8_t *data;
  size_t len;
  int fd = 7;
  uint64_t version = 7;

  FORKED(potluck_system_open("pantry", NULL, &system));
  CHECK(system.id == 0);
  OK(potluck_check(POTLUCK_ABI, NULL));
  CHECK(strcmp(potluck_status_str(POTLUCK_E_FORKED), "forked") == 0);
  CHECK(strstr(potluck_last_error(), "forked") != NULL);
  OK(potluck_last_error_detail(&error));
  CHECK(error.status == POTLUCK_E_FORKED);
  FORKED(potluck_set_error("no"));

  FORKED(potluck_system_shutdown(kitchen, -1, &items));
  CHECK(items.id == 0);
  FORKED(potluck_system_peers(kitchen, &items));
  FORKED(potluck_system_holders(kitchen, "soup", &items));
  FORKED(potluck_system_mingle(kitchen, "soup", 7, -1, &items));
  FORKED(potluck_system_dead_letters(kitchen, &items));
  FORKED(potluck_system_snapshot(kitchen, &resource));
  FORKED(potluck_system_wait_for(kitchen, "ada", -1));
  FORKED(potluck_system_events(kitchen, 8, &reader));
  FORKED(potluck_events_next(events, -1, &event));
  FORKED(potluck_events_fd(events, &fd));
  FORKED(potluck_events_close(events));

  /* What is handed over at entry is dropped, as after any failure. */
  dropped = 0;
  FORKED(potluck_peer_spawn(kitchen, "eve", &options, &peer));
  CHECK(dropped == 1 && peer.id == 0);
  FORKED(potluck_peer_close(ada, -1));
  FORKED(potluck_peer_share(ada, "soup", "x", 1, &version));
  CHECK(version == 0);
  FORKED(potluck_peer_share_if(ada, "soup", "x", 1, soup, &version));
  FORKED(potluck_peer_share_owned(ada, "soup", "cheese", 6, let_go, &dropped, &version));
  CHECK(dropped == 2);
  FORKED(potluck_peer_unshare(ada, "soup"));
  FORKED(potluck_peer_get(ada, "soup", &resource));
  FORKED(potluck_peer_resources(ada, &items));
  FORKED(potluck_peer_request(bob, "ada", "soup", -1, &resource));
  FORKED(potluck_peer_request_newer(bob, "ada", "soup", soup, -1, &resource));
  FORKED(potluck_peer_fetch(bob, "soup", -1, &resource));
  FORKED(potluck_peer_offer(ada, "bob", "soup", -1));
  FORKED(potluck_peer_exchange(ada, "bob", "soup", -1, &resource));
  FORKED(potluck_peer_tell(ada, "bob", "hello", NULL, 0, -1));
  FORKED(potluck_peer_ask(ada, "bob", "hello", NULL, 0, -1, &resource));
  FORKED(potluck_peer_receive(ada, -1, &received));
  FORKED(potluck_peer_fd(ada, &fd));
  FORKED(potluck_peer_start(bob, &call, &started));
  CHECK(resource.id == 0 && received.id == 0 && started.id == 0);
  FORKED(potluck_pending_wait(pending, -1, &resource));
  FORKED(potluck_pending_fd(pending, &fd));
  CHECK(fd == -1);
  FORKED(potluck_pending_release(pending));

  FORKED(potluck_resource_keep(soup, &resource));
  FORKED(potluck_resource_data(soup, &data, &len));
  FORKED(potluck_resource_info(soup, &resource_info));
  FORKED(potluck_resource_release(soup));
  FORKED(potluck_message_info(message, &message_info));
  FORKED(potluck_message_reply(message, "x", 1));
  FORKED(potluck_message_release(message));
  FORKED(potluck_list_items(list, &array, &len));
  FORKED(potluck_list_release(list));
}

static void use(potluck_system_t system) {
  potluck_peer_t eve, dan;
  potluck_resource_t got;
  OK(potluck_peer_spawn(system, "eve", NULL, &eve));
  OK(potluck_peer_spawn(system, "dan", NULL, &dan));
  OK(potluck_peer_share(eve, "cake", "plum", 4, NULL));
  OK(potluck_peer_request(dan, "eve", "cake", TIMEOUT_MS, &got));
  CHECK(holds(got, "plum"));
  OK(potluck_resource_release(got));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
  OK(potluck_peer_close(dan, TIMEOUT_MS));
}

/* Before anything was opened a child is a process like any other. */
static void a_child_from_before_the_first_system_has_its_own(void) {
  pid_t pid = forked();
  if (pid == 0) {
    potluck_system_t own;
    OK(potluck_system_open("own", NULL, &own));
    use(own);
    OK(potluck_system_shutdown(own, TIMEOUT_MS, NULL));
    _exit(5);
  }
  expect_end(pid, 5);
}

static int stop;
static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;

static int stops(void) {
  int stopped;
  pthread_mutex_lock(&stop_lock);
  stopped = stop;
  pthread_mutex_unlock(&stop_lock);
  return stopped;
}

/* Takes every kind of lock again and again. */
static void *busy(void *argument) {
  const char *name = (const char *)argument;
  potluck_system_t pantry;
  potluck_peer_t own;
  OK(potluck_peer_spawn(kitchen, name, NULL, &own));
  while (!stops()) {
    potluck_resource_t got;
    potluck_message_t next;
    potluck_events_t reader;
    potluck_list_t peers;
    OK(potluck_system_events(kitchen, 8, &reader));
    OK(potluck_peer_share(own, "bread", "rye", 3, NULL));
    OK(potluck_peer_request(own, "ada", "soup", TIMEOUT_MS, &got));
    OK(potluck_resource_release(got));
    OK(potluck_peer_offer(own, "bob", "bread", TIMEOUT_MS));
    OK(potluck_peer_tell(own, name, "hello", "hi", 2, TIMEOUT_MS));
    OK(potluck_peer_receive(own, TIMEOUT_MS, &next));
    OK(potluck_message_release(next));
    OK(potluck_system_holders(kitchen, "soup", &peers));
    OK(potluck_list_release(peers));
    OK(potluck_events_close(reader));
    OK(potluck_system_open("pantry", NULL, &pantry));
    use(pantry);
    OK(potluck_system_shutdown(pantry, TIMEOUT_MS, NULL));
  }
  OK(potluck_peer_close(own, TIMEOUT_MS));
  return NULL;
}

static void children_of_a_busy_parent(void) {
  static char names[BUSY_LEN][8] = {"cook0", "cook1", "cook2", "cook3"};
  pthread_t threads[BUSY_LEN];
  for (int i = 0; i < BUSY_LEN; i++) CHECK(pthread_create(&threads[i], NULL, busy, names[i]) == 0);
  for (int i = 0; i < FORKS; i++) {
    pid_t pid = forked();
    if (pid == 0) {
      everything_is_forked();
      _exit(6);
    }
    expect_end(pid, 6);
  }
  pthread_mutex_lock(&stop_lock);
  stop = 1;
  pthread_mutex_unlock(&stop_lock);
  for (int i = 0; i < BUSY_LEN; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static potluck_status_t forks(potluck_peer_t peer, potluck_message_t asked, void *user_data) {
  pid_t pid = forked();
  (void)peer, (void)user_data;
  if (pid == 0) {
    FORKED(potluck_message_reply(asked, "x", 1));
    everything_is_forked();
    _exit(8);
  }
  expect_end(pid, 8);
  OK(potluck_message_reply(asked, "forked", 6));
  return POTLUCK_OK;
}

static void a_child_of_a_callback(void) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = forks};
  potluck_resource_t answer;
  potluck_peer_t eve;
  OK(potluck_peer_spawn(kitchen, "eve", &options, &eve));
  OK(potluck_peer_ask(ada, "eve", "fork", NULL, 0, TIMEOUT_MS, &answer));
  CHECK(holds(answer, "forked"));
  OK(potluck_resource_release(answer));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
}

int main(void) {
  const uint8_t *data;
  size_t data_len;
  potluck_call_t call = {.struct_size = sizeof call, .verb = POTLUCK_CALL_ASK, .to = "ada", .name = "taste"};
  pid_t pid;
  call.timeout_ms = 1000 * DEADLINE_S;
  parent = getpid();
  begin();
  a_child_from_before_the_first_system_has_its_own();

  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_system_events(kitchen, 8, &events));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_get(ada, "soup", &soup));
  OK(potluck_resource_data(soup, &data, &data_len));
  OK(potluck_peer_tell(ada, "bob", "hello", NULL, 0, 0));
  OK(potluck_peer_receive(bob, TIMEOUT_MS, &message));
  OK(potluck_system_peers(kitchen, &list));
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &pending));

  pid = forked();
  if (pid == 0) {
    everything_is_forked();
    /* What was borrowed before is there in the child, too. */
    CHECK(data_len == 6 && memcmp(data, "tomato", 6) == 0);
    /* And so in a child of the child. */
    pid = forked();
    if (pid == 0) {
      everything_is_forked();
      _exit(3);
    }
    expect_end(pid, 3);
    _exit(4);
  }
  expect_end(pid, 4);
  pid = forked();
  if (pid == 0) {
    everything_is_forked();
    /* With all that is done at exit. */
    exit(0);
  }
  expect_end(pid, 0);
  children_of_a_busy_parent();
  a_child_of_a_callback();

  /* The parent goes on with all that the children could not. */
  CHECK(holds(soup, "tomato"));
  OK(potluck_resource_release(soup));
  OK(potluck_message_release(message));
  OK(potluck_list_release(list));
  EXPECT(POTLUCK_PENDING, potluck_pending_wait(pending, 0, NULL));
  OK(potluck_pending_release(pending));
  OK(potluck_events_close(events));
  use(kitchen);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  pid = forked();
  if (pid == 0) return 9;
  expect_end(pid, 9);
  return end("int_fork");
}
