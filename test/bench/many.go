package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	// manyPods have manyEach volumes each.
	manyPods, manyEach = 10, 20
	manyVolumes        = manyPods * manyEach
	// manyLimit bounds each wait.
	manyLimit = 5 * time.Minute
	manyPoll  = 200 * time.Millisecond
	// idleStamps keeps what pods write from being most of the load.
	idleStamps = 5 * time.Second
	// spell is for how long claims that wait are looked at.
	spell = 30 * time.Second

	ours, plain = "ours", "plain"
)

// many is a release with many volumes, once guarded, and once, as the yardstick, with
// volumes that were made before and are nobody's business but Kubernetes'.
type many struct {
	*handover
	out  io.Writer
	rows [][]string
}

// crowding measures what many volumes at once take: claims until they are bound, pods until
// they are ready, and both when everything moves to the other cluster.
func crowding(ctx context.Context, out io.Writer, dir string, tools lab.Tools) (err error) {
	m := &many{handover: &handover{dir: filepath.Join(dir, "many"), tools: tools, stamps: idleStamps}, out: out}
	defer func() { err = errors.Join(err, m.stop()) }()
	if err := m.start(ctx); err != nil {
		return err
	}
	for i, step := range []func(context.Context) error{m.install, m.claimsAgain, m.handOver, m.wait} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	table(out, fmt.Sprintf("%d volumes at once, in %d pods", manyVolumes, manyPods),
		[]string{"", "ours", "yardstick", "times", "our API requests", "our processor time"}, m.rows)
	return nil
}

// install makes all claims and pods in one go. Each of the two has the machine for itself: two hundred
// open volumes take a part of it. The yardstick's pods run again in the end, for the next steps.
func (m *many) install(ctx context.Context) error {
	if err := m.plainImages(ctx); err != nil {
		return err
	}
	for _, s := range []*side{m.east, m.west} {
		if err := create(ctx, s.api, manyVolumes, plainVolume); err != nil {
			return err
		}
	}
	installs := func(kind string) stretch {
		return func(ctx context.Context, mark func()) error {
			if err := create(ctx, m.east.api, manyPods, replicaSet(kind)); err != nil {
				return err
			}
			if err := m.bind(ctx, m.east, kind); err != nil {
				return err
			}
			mark()
			return m.ready(ctx, m.east, kind, func() error { return nil })
		}
	}
	yardstick, err := installs(plain).times(ctx)
	if err != nil {
		return fmt.Errorf("the yardstick: %w", err)
	}
	if err := m.end(ctx, m.east, plain); err != nil {
		return err
	}
	if err := m.detached(ctx, m.east); err != nil {
		return err
	}
	if err := m.compare(ctx, []string{
		fmt.Sprintf("one install of %d pods with %d claims each, until all claims are bound", manyPods, manyEach),
		"the same, until all pods are ready",
	}, yardstick, m.east, installs(ours)); err != nil {
		return err
	}
	return m.run(ctx, m.east, plain)
}

// claimsAgain makes the same claims in the other cluster, whose images are there.
func (m *many) claimsAgain(ctx context.Context) error {
	return m.measure(ctx, []string{"the same claims in the other cluster, without pods, until all are bound"},
		func(ctx context.Context, _ func()) error { return m.bind(ctx, m.west, plain) },
		m.west, func(ctx context.Context, _ func()) error { return m.bind(ctx, m.west, ours) })
}

// handOver ends the pods in east. Those in west were refused for a while. The yardstick is
// somebody who starts them in west when the last one in east has let go.
func (m *many) handOver(ctx context.Context) error {
	if err := m.refuse(ctx, m.west); err != nil {
		return err
	}
	return m.measure(ctx, []string{"the pods end in one cluster, until all are ready in the other"},
		func(ctx context.Context, _ func()) error {
			if err := m.end(ctx, m.east, plain); err != nil {
				return err
			}
			return m.run(ctx, m.west, plain)
		},
		m.west, func(ctx context.Context, _ func()) error {
			return m.ready(ctx, m.west, ours, func() error { return m.delete(ctx, m.east, ours) })
		})
}

// wait has claims in east whose images are west's, and pods that wait for them.
func (m *many) wait(ctx context.Context) error {
	if err := m.end(ctx, m.east, ours); err != nil {
		return err
	}
	if err := m.unbind(ctx, m.east); err != nil {
		return err
	}
	// A claim that no pod waits for gets its volume.
	if err := m.east.reach(ctx, &corev1.PodList{}, manyPods, func(object client.Object) bool {
		return strings.HasPrefix(object.GetLabels()["app"], ours)
	}, func() error { return create(ctx, m.east.api, manyPods, replicaSet(ours)) }); err != nil {
		return err
	}
	if err := create(ctx, m.east.api, manyVolumes, newMany(ours)); err != nil {
		return err
	}
	if err := m.stalled(ctx, m.east); err != nil {
		return err
	}
	before, err := m.spent(m.east)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(spell):
	}
	after, err := m.spent(m.east)
	if err != nil {
		return err
	}
	used := after.minus(before)
	table(m.out, fmt.Sprintf("%d claims that wait for another cluster, in %s", manyVolumes, spell),
		[]string{"volumes that the guard refused", "tries of the provisioner", "lines of log", "API requests", "processor time"},
		[][]string{{fmt.Sprint(used.refused), fmt.Sprint(used.tries), fmt.Sprint(used.lines), fmt.Sprint(used.requests), seconds(used.processor).String()}})
	return m.measure(ctx, []string{"back again, where the claims waited too, until all are ready"},
		func(ctx context.Context, _ func()) error {
			if err := m.end(ctx, m.west, plain); err != nil {
				return err
			}
			return m.run(ctx, m.east, plain)
		},
		m.east, func(ctx context.Context, _ func()) error {
			return m.ready(ctx, m.east, ours, func() error { return m.delete(ctx, m.west, ours) })
		})
}

// stretch is what is measured: mark ends a part of it, and its return the last one.
type stretch func(ctx context.Context, mark func()) error

// times are those from the beginning to each mark and to the end.
func (run stretch) times(ctx context.Context) (times []time.Duration, err error) {
	begin := time.Now()
	mark := func() { times = append(times, time.Since(begin)) }
	if err = run(ctx, mark); err == nil {
		mark()
	}
	return times, err
}

// measure runs the yardstick and then ours, of which it also notes what the webhook of a side
// has spent in the end.
func (m *many) measure(ctx context.Context, what []string, yardstick stretch, of *side, run stretch) error {
	plain, err := yardstick.times(ctx)
	if err != nil {
		return fmt.Errorf("the yardstick of %q: %w", what, err)
	}
	return m.compare(ctx, what, plain, of, run)
}

// compare is measure for a yardstick that was measured before.
func (m *many) compare(ctx context.Context, what []string, plain []time.Duration, of *side, run stretch) error {
	before, err := m.spent(of)
	if err != nil {
		return err
	}
	took, err := run.times(ctx)
	if err != nil {
		return fmt.Errorf("%q: %w", what, err)
	}
	after, err := m.spent(of)
	if err != nil {
		return err
	}
	used := after.minus(before)
	for i := range what {
		row := []string{what[i], fmt.Sprintf("%.1f s", took[i].Seconds()), fmt.Sprintf("%.1f s", plain[i].Seconds()), times(took[i], plain[i]), "", ""}
		if i == len(what)-1 {
			row[4], row[5] = fmt.Sprint(used.requests), fmt.Sprintf("%.1f s", used.processor)
		}
		m.rows = append(m.rows, row)
	}
	return nil
}

// spending is what a webhook has done since its start.
type spending struct {
	requests, refused, tries, lines int
	processor                       float64
}

func (s spending) minus(t spending) spending {
	return spending{s.requests - t.requests, s.refused - t.refused, s.tries - t.tries, s.lines - t.lines, s.processor - t.processor}
}

func (m *many) spent(s *side) (spending, error) {
	var spent spending
	for _, metric := range []struct {
		into   *int
		name   string
		labels []string
	}{
		{&spent.requests, "rest_client_requests_total", nil},
		{&spent.refused, "cephferry_decisions_total", []string{`endpoint="volume"`, `result="denied"`}},
		{&spent.tries, "controller_runtime_reconcile_total", []string{`controller="claims"`}},
	} {
		value, err := s.guard.Metric(metric.name, metric.labels...)
		if err != nil {
			return spent, err
		}
		*metric.into = int(value)
	}
	log, err := os.ReadFile(s.guard.LogFile)
	if err != nil {
		return spent, err
	}
	spent.lines = bytes.Count(log, []byte("\n"))
	spent.processor, err = s.guard.Metric("process_cpu_seconds_total")
	return spent, err
}

func manyName(kind string, i int) string { return fmt.Sprintf("%s-%d", kind, i) }

// newMany are claims, ours without a volume, the others with theirs.
func newMany(kind string) func(i int) client.Object {
	return func(i int) client.Object {
		claim := newClaim(manyName(kind, i), "")
		claim.Labels = map[string]string{"kind": kind}
		if kind == ours {
			claim.Annotations = map[string]string{annotations.Migratable: "true", annotations.Class: "ceph-block"}
		} else {
			claim.Spec.VolumeName = claim.Name
		}
		return claim
	}
}

// plainImages makes the images of the yardstick, as the provisioner makes them.
func (m *many) plainImages(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range manyVolumes {
		group.Go(func() error {
			_, err := m.storage.CreateImage(ctx, ceph.ImageSpec{Pool: lab.Pool, Name: manyName(plain, i)},
				ceph.Layout{Size: uint64(size.Value()), Features: []string{"layering", "exclusive-lock"}})
			return err
		})
	}
	return group.Wait()
}

// plainVolume is mapped as the provisioner's are. It says of itself that ceph-csi made it, so
// nobody guards it.
func plainVolume(i int) client.Object {
	name := manyName(plain, i)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef:                      &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: namespace, Name: name},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: driver, VolumeHandle: fmt.Sprintf("0001-0009-rook-ceph-0000000000000002-%012d", i), FSType: "ext4",
				NodeStageSecretRef: &corev1.SecretReference{Namespace: "rook-ceph", Name: "rook-csi-rbd-node"},
				VolumeAttributes: map[string]string{
					"clusterID": "rook-ceph", "pool": lab.Pool, "imageName": name,
					"imageFeatures": "exclusive-lock,layering", "mapOptions": "exclusive,noshare",
				},
			}},
		},
	}
}

// replicaSet is that of one pod with its share of the volumes.
func replicaSet(kind string) func(i int) client.Object {
	return func(i int) client.Object {
		var claims []string
		for n := range manyEach {
			claims = append(claims, manyName(kind, i*manyEach+n))
		}
		return newReplicaSet(manyName(kind, i), using(claims...))
	}
}

// bind makes all claims, and returns when they are bound.
func (m *many) bind(ctx context.Context, s *side, kind string) error {
	return s.reach(ctx, &corev1.PersistentVolumeClaimList{}, manyVolumes, func(object client.Object) bool {
		claim, ok := object.(*corev1.PersistentVolumeClaim)
		return ok && claim.Labels["kind"] == kind && claim.Status.Phase == corev1.ClaimBound
	}, func() error { return create(ctx, s.api, manyVolumes, newMany(kind)) })
}

// stalled returns when all claims of ours say that they wait.
func (m *many) stalled(ctx context.Context, s *side) error {
	return s.reach(ctx, &corev1.PersistentVolumeClaimList{}, manyVolumes, func(object client.Object) bool {
		claim, ok := object.(*corev1.PersistentVolumeClaim)
		return ok && claim.Labels["kind"] == ours && len(claim.Status.Conditions) > 0
	}, func() error { return nil })
}

// run starts all pods, and returns when they are ready.
func (m *many) run(ctx context.Context, s *side, kind string) error {
	return m.ready(ctx, s, kind, func() error { return create(ctx, s.api, manyPods, replicaSet(kind)) })
}

func (m *many) ready(ctx context.Context, s *side, kind string, begin func() error) error {
	return s.reach(ctx, &corev1.PodList{}, manyPods, func(object client.Object) bool {
		pod, ok := object.(*corev1.Pod)
		if !ok || !strings.HasPrefix(pod.Labels["app"], kind) {
			return false
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	}, begin)
}

// refuse makes the ReplicaSets whose pods are refused, and returns when that was so for a
// while.
func (m *many) refuse(ctx context.Context, s *side) error {
	err := s.reach(ctx, &appsv1.ReplicaSetList{}, manyPods, func(object client.Object) bool {
		set, ok := object.(*appsv1.ReplicaSet)
		if !ok || !strings.HasPrefix(set.Name, ours) {
			return false
		}
		for _, condition := range set.Status.Conditions {
			if condition.Type == appsv1.ReplicaSetReplicaFailure && condition.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	}, func() error { return create(ctx, s.api, manyPods, replicaSet(ours)) })
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(asleep):
		return nil
	}
}

// delete begins to delete the pods.
func (m *many) delete(ctx context.Context, s *side, kind string) error {
	for i := range manyPods {
		if err := s.api.Delete(ctx, replicaSet(kind)(i), client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			return err
		}
	}
	return nil
}

// end deletes the pods, and returns when nobody has their images open.
func (m *many) end(ctx context.Context, s *side, kind string) error {
	if err := m.delete(ctx, s, kind); client.IgnoreNotFound(err) != nil {
		return err
	}
	for i := range manyVolumes {
		spec := ceph.ImageSpec{Pool: lab.Pool, Name: manyName(plain, i)}
		if kind == ours {
			continue
		}
		if err := s.await(ctx, "the end of "+spec.String(), func() error {
			watchers, err := m.storage.Watchers(ctx, spec)
			if err == nil && len(watchers) > 0 {
				err = errors.New("it is open")
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// detached returns when no volume is attached to a node.
func (m *many) detached(ctx context.Context, s *side) error {
	return s.await(ctx, "the end of the attachments", func() error {
		var all storagev1.VolumeAttachmentList
		if err := s.api.List(ctx, &all); err != nil {
			return err
		}
		if len(all.Items) > 0 {
			return fmt.Errorf("there are %d", len(all.Items))
		}
		return nil
	})
}

// unbind deletes the claims, and returns when their volumes are gone.
func (m *many) unbind(ctx context.Context, s *side) error {
	for i := range manyVolumes {
		if err := s.api.Delete(ctx, newMany(ours)(i)); err != nil {
			return err
		}
	}
	return s.await(ctx, "the end of the volumes", func() error {
		var all corev1.PersistentVolumeList
		if err := s.api.List(ctx, &all); err != nil {
			return err
		}
		if len(all.Items) > manyVolumes { // those of the yardstick stay
			return fmt.Errorf("there are %d", len(all.Items)-manyVolumes)
		}
		return nil
	})
}

// reach calls begin, and returns when n objects in the namespace are as is says.
func (s *side) reach(ctx context.Context, list client.ObjectList, n int, is func(client.Object) bool, begin func() error) error {
	if err := begin(); err != nil {
		return err
	}
	reached := 0
	err := wait.PollUntilContextTimeout(ctx, manyPoll, manyLimit, true, func(ctx context.Context) (bool, error) {
		if err := s.api.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return false, err
		}
		reached = 0
		err := meta.EachListItem(list, func(object runtime.Object) error {
			if object, ok := object.(client.Object); ok && is(object) {
				reached++
			}
			return nil
		})
		return reached >= n, err
	})
	if err != nil {
		return fmt.Errorf("%d of %d in %s: %w", reached, n, s.Name, err)
	}
	return nil
}
