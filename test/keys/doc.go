// Package keys tries on the lab what an image that carries its owner's name holds by itself:
// where no webhook is asked, where an etcd is put back, where a machine comes back elsewhere.
// Nodes look at no watchers, and the owner often has no pod that has the image open, so that
// nothing but the name is in the way; beside it there is mostly a volume without a key, which the
// others get. The other layers are tried alone too, because they want the same nodes.
package keys
