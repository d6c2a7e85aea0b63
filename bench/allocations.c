/* Counts calls of malloc, calloc and realloc by the shared object that made them, for bench/run:
 *   LD_PRELOAD=allocations.so SLUICE_ALLOCATIONS=FILE sluice run ...
 * FILE gets one line an object: its name and the number of calls. What libstdc++ allocates (operator
 * new) is asked for by Sluice's own code: librdkafka and libpq are C. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

enum { kObjects = 64, kSegments = 512 };
struct object {
  char name[256];
  atomic_ullong calls;
};
static struct object objects[kObjects];
static struct {
  unsigned long from, to;
  int object;
} segments[kSegments];
static int object_count, segment_count;
static atomic_int ready;
static atomic_ullong before; /* calls before the objects were known */

static int add_object(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  (void)data;
  if (object_count == kObjects) return 1;
  const char *name = strrchr(info->dlpi_name, '/');
  snprintf(objects[object_count].name, sizeof objects[object_count].name, "%s",
           name ? name + 1 : (*info->dlpi_name ? info->dlpi_name : "sluice"));
  for (int i = 0; i < info->dlpi_phnum && segment_count < kSegments; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    segments[segment_count].from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    segments[segment_count].to = segments[segment_count].from + info->dlpi_phdr[i].p_memsz;
    segments[segment_count++].object = object_count;
  }
  ++object_count;
  return 0;
}

static void count(void *caller) {
  if (!atomic_load_explicit(&ready, memory_order_acquire)) {
    atomic_fetch_add_explicit(&before, 1, memory_order_relaxed);
    return;
  }
  const unsigned long address = (unsigned long)caller;
  for (int i = 0; i < segment_count; ++i) {
    if (address >= segments[i].from && address < segments[i].to) {
      atomic_fetch_add_explicit(&objects[segments[i].object].calls, 1, memory_order_relaxed);
      return;
    }
  }
}

void *malloc(size_t size) {
  count(__builtin_return_address(0));
  return __libc_malloc(size);
}
void *calloc(size_t number, size_t size) {
  count(__builtin_return_address(0));
  return __libc_calloc(number, size);
}
void *realloc(void *memory, size_t size) {
  count(__builtin_return_address(0));
  return __libc_realloc(memory, size);
}

__attribute__((constructor)) static void begin(void) {
  dl_iterate_phdr(add_object, NULL);
  atomic_store_explicit(&ready, 1, memory_order_release);
}

__attribute__((destructor)) static void report(void) {
  const char *file = getenv("SLUICE_ALLOCATIONS");
  FILE *out = file ? fopen(file, "w") : NULL;
  if (!out) return;
  for (int i = 0; i < object_count; ++i) {
    if (objects[i].calls) fprintf(out, "%s %llu\n", objects[i].name, (unsigned long long)objects[i].calls);
  }
  fclose(out);
}
