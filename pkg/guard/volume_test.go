package guard_test

import (
	"errors"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/volumes"
)

func TestVolume(t *testing.T) {
	const advice = "\n  do this   fix that, then retry here; nothing was changed"
	waiting, stranger, done, failed := pod("db-0", "data"), pod("web-0", "logs"), pod("job-0", "data"), pod("job-1", "data")
	done.Status.Phase, failed.Status.Phase = corev1.PodSucceeded, corev1.PodFailed
	elsewhere := pod("db-0", "data")
	elsewhere.Namespace = "elsewhere"
	ephemeral := pod("db")
	ephemeral.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
	annotated := func(pv *corev1.PersistentVolume) {
		pv.Annotations = map[string]string{"cephferry.io/migratable": "true"}
	}
	labelled := []string{"shop"}

	tests := map[string]struct {
		objects    []client.Object
		watchers   []string
		image      string
		change     func(*world)
		pv         *corev1.PersistentVolume
		dryRun     bool
		want       answer
		wantLabels []string
	}{
		"nobody waits":                    {pv: volume("data"), want: allowed(guard.NobodyWaits), wantLabels: labelled},
		"nobody waits, in use elsewhere":  {pv: volume("data"), watchers: []string{foreign}, want: allowed(guard.NobodyWaits), wantLabels: labelled},
		"nobody waits, and Ceph is away":  {pv: volume("data"), change: func(w *world) { w.ceph.Intercept(cephtest.Unreachable) }, want: allowed(guard.NobodyWaits), wantLabels: labelled},
		"pods that do not use it":         {objects: []client.Object{stranger, done, failed, elsewhere}, pv: volume("data"), watchers: []string{foreign}, want: allowed(guard.NobodyWaits), wantLabels: labelled},
		"a pod waits":                     {objects: []client.Object{waiting}, pv: volume("data"), want: allowed(guard.NoWatcher), wantLabels: labelled},
		"a pod waits, in use elsewhere":   {objects: []client.Object{stranger, waiting}, pv: volume("data"), watchers: []string{foreign}, want: denied(inUse("data", "shop.data")), wantLabels: labelled},
		"a pod waits with its own volume": {objects: []client.Object{ephemeral}, pv: volume("db-scratch"), image: "shop.db-scratch", watchers: []string{foreign}, want: denied(inUse("db-scratch", "shop.db-scratch")), wantLabels: labelled},
		"a pod uses it": {
			objects: []client.Object{waiting, attachment("shop.data", "west-1")}, pv: volume("data"), watchers: []string{"10.0.2.11:0/1"},
			want: allowed(guard.OwnWatchers), wantLabels: labelled,
		},
		"a pod waits, and Ceph is away": {
			objects: []client.Object{waiting}, pv: volume("data"), change: func(w *world) { w.ceph.Intercept(cephtest.Unreachable) },
			want: unknown("cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: look at image \"replicapool/shop.data\": ceph does not answer\n" +
				"  do this   " + ceph.Advice(ceph.ErrUnreachable) + "; nothing was changed"),
			wantLabels: labelled,
		},
		"a dry run": {pv: volume("data"), dryRun: true, want: allowed(guard.NobodyWaits)},
		"a dry run, a pod waits, in use elsewhere": {objects: []client.Object{waiting}, pv: volume("data"), watchers: []string{foreign}, dryRun: true, want: denied(inUse("data", "shop.data"))},
		"for no claim yet":                         {objects: []client.Object{waiting}, pv: volume("data", withoutClaim), watchers: []string{foreign}, want: allowed(guard.NothingGuarded)},
		"for no claim yet, with an unknown image":  {pv: volume("data", withoutClaim, without("pool")), want: unknown("cannot know whether PersistentVolume shop.data is in use by another cluster: PersistentVolume shop.data: spec.csi.volumeAttributes[pool] is missing, so its image is not known" + advice)},
		"an unknown image":                         {pv: volume("data", without("pool")), want: unknown("cannot know whether PersistentVolume shop.data is in use by another cluster: PersistentVolume shop.data: spec.csi.volumeAttributes[pool] is missing, so its image is not known" + advice)},
		"a dynamic volume, out of scope":           {objects: []client.Object{waiting}, image: "csi-vol-1", pv: volume("data", dynamic), watchers: []string{foreign}, want: allowed(guard.NothingGuarded)},
		"a dynamic volume of an old ceph-csi":      {pv: volume("data", dynamic, without("imageName")), want: allowed(guard.NothingGuarded)},
		"a dynamic volume, annotated":              {objects: []client.Object{waiting}, image: "csi-vol-1", pv: volume("data", dynamic, annotated), watchers: []string{foreign}, want: denied(inUse("data", "csi-vol-1")), wantLabels: labelled},
		"a dynamic volume, in scope": {
			objects: []client.Object{waiting}, image: "csi-vol-1", pv: volume("data", dynamic), watchers: []string{foreign},
			change: func(w *world) { w.endpoints.Finder.Scope = volumes.ScopeAll },
			want:   denied(inUse("data", "csi-vol-1")), wantLabels: labelled,
		},
		"CephFS": {objects: []client.Object{waiting}, pv: volume("data", cephFS), want: allowed(guard.NothingGuarded)},
		"the namespace cannot be labelled": {
			pv: volume("data"),
			change: func(w *world) {
				w.labelErr = errors.New("label namespace shop: it does not exist; create it before its volumes")
			},
			want:       unknown("cannot know whether PersistentVolume shop.data is in use by another cluster: label namespace shop: it does not exist; create it before its volumes" + advice),
			wantLabels: labelled,
		},
		"the pods cannot be read": {
			pv:         volume("data"),
			change:     func(w *world) { w.api.fail = map[string]error{"list *v1.PodList": errors.New("boom")} },
			want:       unknown("cannot know whether PersistentVolume shop.data is in use by another cluster: list pods in namespace shop: boom" + advice),
			wantLabels: labelled,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			image := test.image
			if image == "" {
				image = "shop.data"
			}
			w := newWorld(t, []string{image}, test.objects...)
			for _, watcher := range test.watchers {
				w.watch(image, watcher)
			}
			if test.change != nil {
				test.change(w)
			}
			request := createVolume(t, test.pv)
			// A PersistentVolume is in no namespace.
			request.Namespace = ""
			if test.dryRun {
				request = dryRun(request)
			}
			same(t, test.want, w.ask("volume", request))
			same(t, test.wantLabels, w.labels)
			// An update asks the same.
			update := request
			update.Operation = admissionv1.Update
			update.OldObject.Raw = raw(t, volume("data", withoutClaim))
			same(t, test.want, w.ask("volume", update))
		})
	}
}

// TestVolumeLabelsFirst: the namespace has the label before anything is looked up,
// so that no pod comes between.
func TestVolumeLabelsFirst(t *testing.T) {
	w := newWorld(t, []string{"shop.data"}, pod("db-0", "data"))
	w.watch("shop.data", foreign)
	w.labelErr = errors.New("boom")
	if got := w.ask("volume", createVolume(t, volume("data"))); got.Code != 500 {
		t.Errorf("got %v", got)
	}
	same(t, []string{"shop"}, w.labels)
	same(t, nil, w.api.calls)
	same(t, nil, w.ceph.Calls())
}

// TestAVolumeMayBecomeGuarded whatever is done with it: it has its claim, and pods wait for
// it or use it.
func TestAVolumeMayBecomeGuarded(t *testing.T) {
	const image = "volume shop/data (image replicapool/csi-vol-1)"
	const guarded = "PersistentVolume shop.data is guarded from now on, but "
	warned := func(why string) answer {
		return allowed(guard.BecomesGuarded, guarded+"its image is not this cluster's: "+why)
	}
	unknown := func(why string) answer {
		return allowed(guard.BecomesGuarded, guarded+"what is done with its image could not be found out: "+why)
	}
	annotated := func(pv *corev1.PersistentVolume) {
		pv.Annotations = map[string]string{"cephferry.io/migratable": "true"}
	}
	anew := func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "1" }
	waiting := pod("db-0", "data")
	using := []client.Object{withNode(pod("db-0", "data"), "west-1"), attachment("shop.data", "west-1")}
	for name, test := range map[string]struct {
		objects  []client.Object
		watchers []string
		before   []func(*corev1.PersistentVolume)
		after    []func(*corev1.PersistentVolume)
		change   func(*world)
		want     answer
		wantOurs bool
	}{
		"nobody waits":                    {want: allowed(guard.NobodyWaits)},
		"a pod waits":                     {objects: []client.Object{waiting}, want: allowed(guard.NoWatcher), wantOurs: true},
		"a pod uses it":                   {objects: using, watchers: []string{"10.0.2.11:0/1"}, want: allowed(guard.OwnWatchers), wantOurs: true},
		"a pod waits, in use elsewhere":   {objects: []client.Object{waiting}, watchers: []string{foreign}, want: warned(image + " is in use by another cluster")},
		"a pod waits, and east owns it":   {objects: []client.Object{waiting}, change: func(w *world) { w.write("csi-vol-1", owned(east)) }, want: warned(image + " is in use by another cluster")},
		"a pod uses it, and so does east": {objects: using, watchers: []string{"10.0.2.11:0/1", foreign}, want: warned(image + " is in use by another cluster")},
		"a pod waits, and Ceph is away": {
			objects: []client.Object{waiting}, change: func(w *world) { w.ceph.Intercept(cephtest.Unreachable) },
			want: unknown("cannot know whether " + image + " is in use by another cluster: look at image \"replicapool/csi-vol-1\": ceph does not answer"),
		},
		"the pods cannot be read": {
			change: func(w *world) { w.api.fail = map[string]error{"list *v1.PodList": errors.New("boom")} },
			want:   unknown("cannot know whether PersistentVolume shop.data is in use by another cluster: list pods in namespace shop: boom"),
		},
		"and gets its claim, in use elsewhere": {
			objects: []client.Object{waiting}, watchers: []string{foreign}, before: []func(*corev1.PersistentVolume){withoutClaim},
			want: denied(inUse("data", "csi-vol-1")),
		},
		"and is bound, in use elsewhere": {
			objects: []client.Object{waiting, func() client.Object { c := claim("data", ""); c.UID = "1"; return c }()}, watchers: []string{foreign}, after: []func(*corev1.PersistentVolume){anew},
			want: denied(inUse("data", "csi-vol-1")),
		},
		"was guarded before, in use elsewhere": {
			objects: []client.Object{waiting}, watchers: []string{foreign}, before: []func(*corev1.PersistentVolume){annotated},
			want: denied(inUse("data", "csi-vol-1")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"csi-vol-1"}, test.objects...)
			for _, watcher := range test.watchers {
				w.watch("csi-vol-1", watcher)
			}
			if test.change != nil {
				test.change(w)
			}
			request := createVolume(t, volume("data", append(test.after, dynamic, annotated)...))
			request.Operation, request.Namespace = admissionv1.Update, ""
			request.OldObject.Raw = raw(t, volume("data", append(test.before, dynamic)...))
			same(t, test.want, w.ask("volume", request))
			same(t, []string{"shop"}, w.labels)
			w.ceph.Intercept(nil)
			owner := w.record("csi-vol-1").Owner
			if ours := owner != nil && owner.UID == west.UID; ours != test.wantOurs {
				t.Errorf("the owner is %+v", owner)
			}
		})
	}
}
