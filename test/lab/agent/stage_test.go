package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// busy is a client of an image that somebody else has open.
type busy struct {
	looks atomic.Int32
	// freeAfter is the look that is the last one to see the other client; 0 is none.
	freeAfter      int32
	opened, closed atomic.Int32
}

func (b *busy) Address() string { return "10.0.0.1:0/1" }
func (b *busy) Close()          {}

func (b *busy) Watchers(ceph.ImageSpec) ([]string, error) {
	if look := b.looks.Add(1); b.freeAfter > 0 && look > b.freeAfter {
		return []string{"own"}, nil
	}
	return []string{"own", "other"}, nil
}

func (b *busy) Open(ceph.ImageSpec, Mode) (Image, error) {
	b.opened.Add(1)
	return image{b}, nil
}

// image is empty, and has room for stamps.
type image struct{ client *busy }

func (image) Size() (uint64, error)                  { return 16 << 20, nil }
func (image) ReadAt(p []byte, _ int64) (int, error)  { clear(p); return len(p), nil }
func (image) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (i image) Close() error                         { i.client.closed.Add(1); return nil }

const operator = "rook-ceph"

// stagingNode is a node that can stage the volume of claim default/data.
func stagingNode(client *busy, mapOptions string) (*node, *corev1.Pod) {
	id := volumeID{Operator(operator).rbd(), "shop.data"}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "shop.data"}}
	pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{
		Driver: id.driver, VolumeHandle: id.handle, NodeStageSecretRef: &corev1.SecretReference{Name: "user", Namespace: operator},
		VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "staticVolume": "true", "mapOptions": mapOptions},
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "default"}}
	claim.Spec.VolumeName, claim.Status.Phase = pv.Name, corev1.ClaimBound
	attachment := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: attachmentName(id, "west-1")}}
	attachment.Status.Attached = true
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db-0", Namespace: "default", UID: "1"}}
	pod.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	objects := fake.NewClientset(pv, claim, attachment, pod,
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "west-1"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "user", Namespace: operator}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ceph-csi-config", Namespace: operator}, Data: map[string]string{
			"config.json": `[{"clusterID": "rook-ceph", "monitors": ["10.0.0.9"]}]`,
		}})
	n := newNode(Config{
		Cluster: "west", Node: "west-1", Operator: operator, Client: objects, StampInterval: time.Second, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Dial: func(CephSettings) (Client, error) { return client, nil },
	})
	return n, pod
}

// ceph-csi looks ten times, with pauses that sum up to 49 s, before it says anything,
// also where the lock would refuse it at once.
func TestAnImageThatIsInUseIsRefusedOnlyInTheEnd(t *testing.T) {
	for _, mapOptions := range []string{"", "krbd:exclusive"} {
		t.Run(mapOptions, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &busy{}
				n, pod := stagingNode(client, mapOptions)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				go func() { _, _ = n.mount(ctx, pod) }()
				time.Sleep(49 * time.Second)
				synctest.Wait()
				if looks := client.looks.Load(); looks != 9 || warnings(t, n) != nil {
					t.Errorf("%s after the beginning there were %d looks, and the events %q", time.Since(begin), looks, warnings(t, n))
				}
				time.Sleep(200 * time.Millisecond)
				synctest.Wait()
				want := []string{`MountVolume.MountDevice failed for volume "shop.data" : rpc error: code = Internal desc = rbd image replicapool/shop.data is still being used`}
				if diff := cmp.Diff(want, warnings(t, n)); diff != "" || client.looks.Load() != 10 {
					t.Errorf("after %d looks, events (-want +got):\n%s", client.looks.Load(), diff)
				}
				cancel()
				time.Sleep(time.Minute)
			})
		})
	}
}

func warnings(t *testing.T, n *node) []string {
	t.Helper()
	list, err := n.Client.CoreV1().Events("default").List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, event := range list.Items {
		messages = append(messages, event.Message)
	}
	return messages
}

// The pod is deleted while its node looks: it is gone at once, and the looks go on. When
// the image gets free, it is opened, and closed again.
func TestADeletedPodDoesNotStopTheLooks(t *testing.T) {
	for name, test := range map[string]struct {
		freeAfter    int32
		looks, opens int32
	}{
		"until the end":     {0, 10, 0},
		"the image is free": {5, 6, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &busy{freeAfter: test.freeAfter}
				n, pod := stagingNode(client, "")
				running, deleted := context.WithCancel(t.Context())
				go n.run(t.Context(), running, pod)
				time.Sleep(3 * time.Second)
				deleted()
				synctest.Wait()
				if _, err := n.Client.CoreV1().Pods("default").Get(t.Context(), "db-0", metav1.GetOptions{}); err == nil {
					t.Error("the pod is still there")
				}
				if inUse := volumesInUse(t, n); len(inUse) != 1 {
					t.Errorf("volumes in use: %v", inUse)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if looks, opened, closed := client.looks.Load(), client.opened.Load(), client.closed.Load(); looks != test.looks || opened != test.opens || closed != test.opens {
					t.Errorf("%d looks, opened %d times and closed %d times; want %d looks and %d", looks, opened, closed, test.looks, test.opens)
				}
				if inUse := volumesInUse(t, n); len(inUse) != 0 {
					t.Errorf("volumes in use at the end: %v", inUse)
				}
			})
		})
	}
}

func volumesInUse(t *testing.T, n *node) []corev1.UniqueVolumeName {
	t.Helper()
	got, err := n.Client.CoreV1().Nodes().Get(t.Context(), "west-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.VolumesInUse
}

// With the map option noshare an image has a client of its own, which ends with it. The
// others share one, which ends with the last of them.
func TestAnImageWithNoshareHasAClientOfItsOwn(t *testing.T) {
	var dialed, closed []string
	n, _ := stagingNode(&busy{}, "")
	n.IgnoreWatchers = true
	n.Dial = func(CephSettings) (Client, error) {
		name := fmt.Sprint("client ", len(dialed)+1)
		dialed = append(dialed, name)
		return &named{name, func() { closed = append(closed, name) }}, nil
	}
	pv, err := n.Client.CoreV1().PersistentVolumes().Get(t.Context(), "shop.data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	open := func(mapOptions string) staged {
		pv.Spec.CSI.VolumeAttributes["mapOptions"] = mapOptions
		opened, err := n.openImage(t.Context(), pv)
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	shared, private, another, also := open("exclusive"), open("exclusive,noshare"), open("krbd:noshare"), open("nbd:noshare")
	for _, image := range []staged{private, shared, another, also} {
		if err := image.close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"client 1", "client 2", "client 3"}, dialed); diff != "" {
		t.Errorf("dialed, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"client 2", "client 3", "client 1"}, closed); diff != "" {
		t.Errorf("closed, -want +got:\n%s", diff)
	}
}

// named is a client of free images that says when it is closed.
type named struct {
	name   string
	closes func()
}

func (n *named) Address() string                           { return n.name }
func (n *named) Watchers(ceph.ImageSpec) ([]string, error) { return nil, nil }
func (n *named) Open(ceph.ImageSpec, Mode) (Image, error)  { return image{&busy{}}, nil }
func (n *named) Close()                                    { n.closes() }
