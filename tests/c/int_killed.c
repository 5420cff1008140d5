/* A thread that the host ends inside a callback: its peer never ends, and says so; everything else goes on, and nothing aborts. So, too,
 * a thread of the host's own that it ends inside a release function: that thread stays there. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>

#define SHORT_MS 50
/* By then a callback has begun, on a machine that does other things, too. */
#define BEGUN_MS 2000

static potluck_status_t ends_its_thread(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  (void)peer, (void)message, (void)user_data;
  pthread_exit(NULL);
}

static ATOMIC(int) is_releasing;

static void ends_the_releasing_thread(const uint8_t *data, size_t data_len, void *user_data) {
  (void)data, (void)data_len, (void)user_data;
  atomic_store(&is_releasing, 1);
  pthread_exit(NULL);
}

static void *lets_go(void *resource) {
  potluck_resource_release(*(potluck_resource_t *)resource);
  CHECK(!"it has ended inside the release");
  return NULL;
}

static void inside_a_release(potluck_peer_t ada, potluck_peer_t bob) {
  static potluck_resource_t bread;
  pthread_t thread;
  OK(potluck_peer_share_owned(ada, "bread", "rye", 3, ends_the_releasing_thread, NULL, NULL));
  OK(potluck_peer_get(ada, "bread", &bread));
  OK(potluck_peer_unshare(ada, "bread"));
  CHECK(pthread_create(&thread, NULL, lets_go, &bread) == 0);
  /* Never joined: it is parked for ever. */
  CHECK(pthread_detach(thread) == 0);
  while (!atomic_load(&is_releasing)) sched_yield();
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_release(bread));
  OK(potluck_peer_share(ada, "bread", "oat", 3, NULL));
  OK(potluck_peer_request(bob, "ada", "bread", TIMEOUT_MS, &bread));
  CHECK(holds(bread, "oat"));
  OK(potluck_resource_release(bread));
}

int main(void) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = ends_its_thread};
  potluck_system_t kitchen;
  potluck_peer_t ada, bob, eve;
  potluck_resource_t got;
  potluck_list_t report;
  const potluck_item_t *items;
  size_t items_len;
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_spawn(kitchen, "eve", &options, &eve));
  OK(potluck_peer_share(eve, "soup", "tomato", 6, NULL));
  EXPECT(POTLUCK_E_OUTCOME_UNKNOWN, potluck_peer_ask(ada, "eve", "go", NULL, 0, BEGUN_MS, NULL));

  /* What it had shared can be read; what needs its thread ends by its deadline. */
  OK(potluck_peer_request(ada, "eve", "soup", TIMEOUT_MS, &got));
  CHECK(holds(got, "tomato"));
  OK(potluck_resource_release(got));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_ask(ada, "eve", "again", NULL, 0, SHORT_MS, NULL));
  EXPECT(POTLUCK_STILL_RUNNING, potluck_peer_close(eve, SHORT_MS));
  EXPECT(POTLUCK_STILL_RUNNING, potluck_peer_close(eve, 0));
  EXPECT(POTLUCK_E_PEER_CLOSED, potluck_peer_request(ada, "eve", "soup", 0, NULL));
  OK(potluck_peer_request(bob, "ada", "soup", TIMEOUT_MS, &got));
  CHECK(holds(got, "tomato"));
  OK(potluck_resource_release(got));
  inside_a_release(ada, bob);
  OK(potluck_peer_close(ada, TIMEOUT_MS));
  OK(potluck_peer_close(bob, TIMEOUT_MS));

  EXPECT(POTLUCK_STILL_RUNNING, potluck_system_shutdown(kitchen, SHORT_MS, &report));
  OK(potluck_list_items(report, &items, &items_len));
  CHECK(items_len == 1 && strcmp(items[0].peer, "eve") == 0);
  CHECK(strstr(items[0].text, "on_message \"go\" from \"ada\"") != NULL);
  OK(potluck_list_release(report));
  return end("int_killed");
}
