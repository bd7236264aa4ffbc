//go:build cgo && (pacific || quincy || reef || squid || tentacle)

// Only librados's C++ API lists the watchers of an object. librbd's C API lists those of an
// image that it has open, which takes milliseconds and a MiB.

#include "header.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <list>
#include <new>

#include <rados/librados.hpp>

namespace {

// number reads a little-endian integer of eight bytes from an answer.
bool number(librados::bufferlist &answer, unsigned offset, uint64_t *value)
{
	unsigned char bytes[8];
	if (answer.length() < offset + sizeof bytes)
		return false;
	std::memcpy(bytes, answer.c_str() + offset, sizeof bytes);
	*value = 0;
	for (int i = sizeof bytes - 1; i >= 0; i--)
		*value = *value << 8 | bytes[i];
	return true;
}

int read_header(rados_ioctx_t io, const char *object, cephferry_header *found)
{
	librados::IoCtx ioctx;
	librados::IoCtx::from_rados_ioctx_t(io, ioctx);

	// CEPH_NOSNAP, the image itself; get_features also wants to know whether for reading.
	static const unsigned char arguments[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
	librados::bufferlist of_size, of_features, size, features;
	of_size.append(reinterpret_cast<const char *>(arguments), 8);
	of_features.append(reinterpret_cast<const char *>(arguments), 9);
	std::list<obj_watch_t> watchers;
	int listed = 0;

	librados::ObjectReadOperation op;
	op.exec("rbd", "get_size", of_size, &size, nullptr);
	op.exec("rbd", "get_features", of_features, &features, nullptr);
	op.list_watchers(&watchers, &listed);
	int result = ioctx.operate(object, &op, nullptr);
	if (result < 0)
		return result;
	if (listed < 0)
		return listed;
	// One byte with the object size comes before the size.
	if (!number(size, 1, &found->size) || !number(features, 0, &found->features))
		return -EIO;

	if (watchers.empty())
		return 0;
	found->watchers = static_cast<cephferry_watcher *>(std::calloc(watchers.size(), sizeof(cephferry_watcher)));
	if (found->watchers == nullptr)
		return -ENOMEM;
	for (const obj_watch_t &watcher : watchers) {
		cephferry_watcher &to = found->watchers[found->count++];
		static_assert(sizeof to.addr == sizeof watcher.addr, "addresses of another length");
		std::memcpy(to.addr, watcher.addr, sizeof to.addr - 1); // calloc has ended it
		to.client = watcher.watcher_id;
		to.cookie = watcher.cookie;
	}
	return 0;
}

} // namespace

int cephferry_read_header(rados_ioctx_t io, const char *object, cephferry_header *found)
{
	*found = cephferry_header{};
	// An exception must not reach Go.
	try {
		return read_header(io, object, found);
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	} catch (const std::exception &) {
		return -EIO;
	}
}
