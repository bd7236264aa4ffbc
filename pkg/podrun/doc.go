// Package podrun runs a program of the webhook's image once, in a pod beside the webhook, with
// its account, mounts and network. So a command that works there can be run from a laptop that
// has neither Ceph's libraries nor a route to Ceph.
package podrun
