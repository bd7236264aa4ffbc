// Package lab starts real servers on this machine's loopback: one Ceph (monitor,
// OSD, manager and metadata server from Debian's packages) and Kubernetes control
// planes (etcd, kube-apiserver, kube-controller-manager). With [Nodes], the
// clusters also have kube-scheduler and machines whose pods open real images and
// mount real CephFS (package agent).
//
// The project's promises are about what Ceph and the API server really do, and
// neither is easy to imitate: watches outlive their clients, a bound claim is
// the work of several controllers. So tests and the demo use the real ones. They
// are made quick enough to start for a single test: a Ceph in about one
// second, a control plane in about four.
//
// Any number of labs can run beside each other. Everything a server writes is inside the
// folder that its starter names, nothing listens outside 127.0.0.1, and servers get free
// ports. No unix socket is made, because a path longer than 107 bytes would break it. With
// nodes, Ceph and the API servers listen in a [Network] of the lab instead, which nothing
// outside this machine reaches.
//
// A server is recorded with its process id and start time before it runs, and is
// only signalled while both still match. [Options.Detached] servers outlive
// their starter until [Down]; the others die with it, however it ends.
//
// A node loses Ceph and the API server when its cable is pulled, continues to write
// after a freeze, and leaves its watches behind when it is killed: see [Node].
//
// All of it is for Linux: it reads /proc and asks the kernel to end orphans.
//
// Tests use package labtest; people use `make lab-up`, which calls [Up].
package lab
