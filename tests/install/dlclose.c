/* A host that loads the library, closes it while a peer's thread is inside, and loads it again: nothing was unmapped. Arguments: the
 * shared library; a shared object that is like any other and so goes away when it is closed. */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "potluck.h"

static unsigned checked = 0;

#define CHECK(condition)                                                                             \
  do {                                                                                               \
    checked++;                                                                                       \
    if (!(condition)) {                                                                              \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                        \
      exit(1);                                                                                       \
    }                                                                                                \
  } while (0)

/* Looks a function up: the types are those of the header. */
#define FIND(library, function) ((__typeof__(&function))(uintptr_t)dlsym(library, #function))

static sem_t has_begun, may_go_on;

static potluck_status_t cook(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  (void)peer;
  (void)message;
  sem_post(&has_begun);
  while (sem_wait(&may_go_on)) {
  }
  *(int *)user_data += 1;
  return POTLUCK_OK;
}

/* Whether a file is mapped into this process. */
static int is_mapped(const char *file) {
  char line[4096], *path = realpath(file, NULL);
  int found = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(path != NULL && maps != NULL);
  while (fgets(line, sizeof line, maps)) found |= strstr(line, path) != NULL;
  fclose(maps);
  free(path);
  return found;
}

static void *library;
static potluck_system_t kitchen;
static potluck_peer_t peer;
static int cooked = 0;

static void *open_and_tell(void *nothing) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = cook, .user_data = &cooked};
  potluck_peer_t guest;
  CHECK(FIND(library, potluck_system_open)("kitchen", NULL, &kitchen) == POTLUCK_OK);
  CHECK(FIND(library, potluck_peer_spawn)(kitchen, "cook", &options, &peer) == POTLUCK_OK);
  CHECK(FIND(library, potluck_peer_spawn)(kitchen, "guest", NULL, &guest) == POTLUCK_OK);
  for (int told = 0; told < 2; told++) {
    CHECK(FIND(library, potluck_peer_tell)(guest, "cook", "go on", NULL, 0, 10000) == POTLUCK_OK);
  }
  return nothing;
}

static void *shut_down(void *nothing) {
  CHECK(FIND(library, potluck_system_shutdown)(kitchen, 10000, NULL) == POTLUCK_OK);
  CHECK(cooked == 2);
  CHECK(FIND(library, potluck_peer_share)(peer, "soup", NULL, 0, NULL) == POTLUCK_E_CLOSED);
  return nothing;
}

/* On a thread of its own, since the loader keeps what has thread-local values on a thread that lives. */
static void on_a_thread(void *(*call)(void *)) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, call, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv) {
  void *other;
  alarm(60);
  CHECK(argc == 3 && !sem_init(&has_begun, 0, 0) && !sem_init(&may_go_on, 0, 0));
  other = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  CHECK(other != NULL && is_mapped(argv[2]));
  CHECK(dlclose(other) == 0 && !is_mapped(argv[2]));

  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL && is_mapped(argv[1]));
  on_a_thread(open_and_tell);
  while (sem_wait(&has_begun)) {
  }
  CHECK(dlclose(library) == 0);
  CHECK(is_mapped(argv[1]));
  sem_post(&may_go_on);
  sem_post(&may_go_on);
  while (sem_wait(&has_begun)) {
  }

  /* The ids are still good; and at the end no thread is inside any more, and the library stays all the same. */
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  on_a_thread(shut_down);
  CHECK(dlclose(library) == 0 && is_mapped(argv[1]));
  printf("dlclose: %u checks passed\n", checked);
  return 0;
}
