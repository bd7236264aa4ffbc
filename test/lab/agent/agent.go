package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// Operator is the namespace of Rook's operator. The names of its CSI drivers begin
// with it, and ceph-csi's configuration is there.
type Operator string

func (o Operator) rbd() string    { return string(o) + ".rbd.csi.ceph.com" }
func (o Operator) cephFS() string { return string(o) + ".cephfs.csi.ceph.com" }

// runs reports whether the driver is one of the operator's.
func (o Operator) runs(driver string) bool { return driver == o.rbd() || driver == o.cephFS() }

// Config says which node this is.
type Config struct {
	Cluster, Node string
	Operator      Operator
	// Address is the node's address in its status.
	Address string
	Client  kubernetes.Interface
	Dial    func(CephSettings) (Client, error)
	// Mount mounts the folder root of a file system.
	Mount func(settings CephSettings, filesystem, root string) (Folder, error)
	// Seen is a folder for what pods see in CephFS volumes, see package stamp: in
	// the file <volumeHandle>.json, everybody's newest stamp.
	Seen string
	// IgnoreWatchers leaves out the look for other watchers that ceph-csi takes
	// before it maps an image.
	IgnoreWatchers bool
	// StampInterval is the time between two stamps of a pod.
	StampInterval time.Duration
	Log           *slog.Logger
}

// CephSettings say how to reach Ceph.
type CephSettings struct{ MonHost, User, Key string }

// Client is a connection to Ceph. Its calls take as long as Ceph does.
type Client interface {
	// Address is what the watches of this client show: ip:port/nonce.
	Address() string
	// Watchers opens the image read-write and returns the addresses of all its
	// watchers, the own one among them.
	Watchers(ceph.ImageSpec) ([]string, error)
	Open(ceph.ImageSpec, Mode) (Image, error)
	Close()
}

// Image is an open image.
type Image interface {
	stamp.Image
	Size() (uint64, error)
	Close() error
}

// Folder is a mounted folder of a file system.
type Folder interface {
	stamp.Folder
	Close() error
}

// Mode is how an image is opened.
type Mode string

const (
	ReadWrite Mode = "read-write"
	ReadOnly  Mode = "read-only"
	// Exclusive is read-write with the lock, for as long as the image is open: the
	// map option `exclusive`. Unlike the kernel, librbd as holder of the lock resizes
	// the image for others who ask.
	Exclusive Mode = "exclusive"
)

// node is a running agent.
type node struct {
	Config
	boot string // the boot id of this start
	// attachments are the cluster's VolumeAttachments, as they are watched; nil if nobody does.
	attachments cache.Store

	mu      sync.Mutex
	pods    map[types.UID]context.CancelFunc
	volumes map[volumeID]*volume
	asked   int // how often volumes were to be reported

	statusMu sync.Mutex // keeps reports of volumes in their order
	reported int        // the last of those that were asked for
	clientMu sync.Mutex
	client   Client // the shared one, while an image is open through it
	settings CephSettings
	opened   int
}

func newNode(config Config) *node {
	return &node{Config: config, boot: string(uuid.NewUUID()), pods: map[types.UID]context.CancelFunc{}, volumes: map[volumeID]*volume{}}
}

// Run registers the node and runs its pods until ctx ends. It leaves everything
// open then: the process is the machine, and its end is a power cut.
func Run(ctx context.Context, config Config) error {
	n := newNode(config)
	if err := retryForever(ctx, n.Log, "register node", n.register); err != nil {
		return err
	}
	go n.renewLease(ctx)

	attachments, watching := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(n.Client.StorageV1().RESTClient(), "volumeattachments", corev1.NamespaceAll, fields.Everything()),
		ObjectType:    &storagev1.VolumeAttachment{},
		Handler:       cache.ResourceEventHandlerFuncs{},
	})
	n.attachments = attachments
	go watching.RunWithContext(ctx)

	_, growing := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(n.Client.CoreV1().RESTClient(), "persistentvolumes", corev1.NamespaceAll, fields.Everything()),
		ObjectType:    &corev1.PersistentVolume{},
		Handler: cache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
			if before, ok := before.(*corev1.PersistentVolume); ok {
				n.volumeChanged(ctx, before, after.(*corev1.PersistentVolume))
			}
		}},
	})
	go growing.RunWithContext(ctx)

	pods := cache.NewListWatchFromClient(n.Client.CoreV1().RESTClient(), "pods", corev1.NamespaceAll,
		fields.OneTermEqualSelector("spec.nodeName", n.Node))
	changed := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok {
			n.handle(ctx, pod)
		}
	}
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: pods,
		ObjectType:    &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    changed,
			UpdateFunc: func(_, object any) { changed(object) },
			DeleteFunc: func(object any) {
				if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = gone.Obj
				}
				if pod, ok := object.(*corev1.Pod); ok {
					n.stop(pod.UID)
				}
			},
		},
	})
	controller.RunWithContext(ctx)
	return ctx.Err()
}

// handle starts the pod, or stops it when it is to be deleted.
func (n *node) handle(ctx context.Context, pod *corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	stop, known := n.pods[pod.UID]
	deleted := pod.DeletionTimestamp != nil
	switch {
	case known && deleted:
		stop()
	case known, !deleted && ended(pod):
	default:
		running, stop := context.WithCancel(ctx)
		n.pods[pod.UID] = stop
		if deleted {
			stop()
		}
		go func() {
			defer stop()
			n.run(ctx, running, pod)
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.pods, pod.UID)
		}()
	}
}

func (n *node) stop(uid types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if stop, ok := n.pods[uid]; ok {
		stop()
	}
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// retryForever calls f until it succeeds.
func retryForever(ctx context.Context, log *slog.Logger, what string, f func(context.Context) error) error {
	for {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := f(bounded)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.Error(what, "error", err)
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func patch(value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return data, nil
}
