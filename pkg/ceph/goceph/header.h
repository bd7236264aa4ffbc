// The C side of header.cc, which the OSDs are asked through.

#ifndef CEPHFERRY_HEADER_H
#define CEPHFERRY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include <rados/librados.h>

#ifdef __cplusplus
extern "C" {
#endif

// cephferry_watcher is a client that watches an object.
typedef struct {
	char addr[256];
	int64_t client;
	uint64_t cookie;
} cephferry_watcher;

// cephferry_header is what one read operation finds in the header of an image. The caller
// frees watchers.
typedef struct {
	uint64_t size, features;
	cephferry_watcher *watchers;
	size_t count;
} cephferry_header;

// cephferry_bytes is what an object has, or a negative errno. The caller frees data.
typedef struct {
	int result;
	char *data;
	size_t length;
} cephferry_bytes;

// cephferry_names is how many names of an image a glance asks for their ids at most.
enum { cephferry_names = 3 };

// cephferry_glance is what reads at the same time find: the id objects of the names, the record,
// and the header. The caller frees what has been allocated, see cephferry_free_glance.
typedef struct {
	cephferry_bytes ids[cephferry_names];
	cephferry_bytes record;
	uint64_t version; // of the object that has the record
	int header_result;
	cephferry_header header;
} cephferry_glance_result;

// cephferry_glance reads at most limit bytes of the record. It returns zero, or -ENOMEM or -EIO
// and then nothing to free.
int cephferry_glance(rados_ioctx_t io, const char *const *names, size_t count, const char *record,
		     const char *header, size_t limit, cephferry_glance_result *found);

void cephferry_free_glance(cephferry_glance_result *found);

// cephferry_read_header returns zero, or a negative errno and then nothing to free.
int cephferry_read_header(rados_ioctx_t io, const char *object, cephferry_header *found);

#ifdef __cplusplus
}
#endif

#endif
