// Package podrun runs a program of the webhook's image once, as a pod beside the webhook: with
// its account, its mounts and its network, so that what works there works from a laptop that has
// neither Ceph's libraries nor a route to Ceph.
package podrun
