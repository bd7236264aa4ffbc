// Package keys shows on the lab what an image's name protects by itself when it carries the
// owner's name: where no webhook is asked, where an etcd is restored, where a machine comes
// back at another address. Nodes do not look for watchers, and the owner often has no pod that
// has the image open, so nothing but the name is in the way. Beside it there is mostly a volume
// without a key, which the others do get. The other layers are tested alone here too, because
// those tests need the same nodes.
package keys
