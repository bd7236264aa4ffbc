// Package slim makes the objects in the webhook's caches small: each keeps what the
// project's code reads of it, and texts that many objects have in common are kept once.
// There may be ten thousand volumes, each with a claim and an attachment.
//
// A cached object is not what the API server has, so it must never be sent back whole: an
// update would erase what was dropped here. Changes are sent as patches, which name the
// fields that they are about. A test enforces that.
package slim
