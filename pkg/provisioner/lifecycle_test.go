package provisioner

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// attachment attaches a volume to a node.
func attachment(volume string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "a-" + volume},
		Spec:       storagev1.VolumeAttachmentSpec{Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume}},
	}
}

// becomes is what the volume shop.data is after one look at it: its claim with the
// uid, or that it is gone.
func (w *world) becomes() string {
	w.Helper()
	result, err := w.volumes.Reconcile(w.Context(), reconcileRequest("", "shop.data"))
	if err != nil {
		return err.Error()
	}
	var pv corev1.PersistentVolume
	if err := w.objects.Get(w.Context(), client.ObjectKey{Name: "shop.data"}, &pv); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	} else if err != nil {
		return "gone"
	}
	if result.RequeueAfter > 0 {
		return "later"
	}
	if pv.Spec.ClaimRef == nil {
		return "for nobody"
	}
	return fmt.Sprintf("for uid %q", pv.Spec.ClaimRef.UID)
}

func TestVolumesOfGoneClaims(t *testing.T) {
	type changes = []func(*corev1.PersistentVolume)
	released := phase(corev1.VolumeReleased)
	const same1 = `for uid "1"`
	uid := func(uid types.UID) *corev1.PersistentVolumeClaim {
		return edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.UID = uid })
	}
	for name, test := range map[string]struct {
		volume changes
		others []client.Object
		want   string
	}{
		"the cluster's":                       {changes{released}, nil, "gone"},
		"the cluster's, never bound":          {changes{phase(corev1.VolumeAvailable)}, nil, "gone"},
		"the cluster's, and a new claim":      {changes{released}, []client.Object{uid("2")}, "gone"},
		"the cluster's, with its claim":       {changes{phase(corev1.VolumeBound)}, []client.Object{uid("1")}, same1},
		"the cluster's, attached":             {changes{released}, []client.Object{attachment("shop.data")}, same1},
		"the cluster's, and another attached": {changes{released}, []client.Object{attachment("shop.other")}, "gone"},
		"the cluster's, to be deleted":        {changes{released, policy(corev1.PersistentVolumeReclaimDelete)}, nil, same1},
		"the cluster's, being deleted":        {changes{released, deleting}, nil, same1},
		"the cluster's, with another handle":  {changes{released, func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "x" }}, nil, same1},
		"the cluster's, no longer static":     {changes{released, func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "staticVolume") }}, nil, same1},
		"the cluster's, without our mark":     {changes{released, func(pv *corev1.PersistentVolume) { delete(pv.Annotations, "cephferry.io/migratable") }}, nil, same1},
		"the cluster's, of another driver":    {changes{released, func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "nfs" }}, nil, same1},
		"made by something else":              {changes{released, func(pv *corev1.PersistentVolume) { pv.Annotations[CreatedBy] = "me" }}, nil, same1},

		"the renderer's, released":        {changes{released, byRenderer}, nil, `for uid ""`},
		"the renderer's, and a new claim": {changes{released, byRenderer}, []client.Object{uid("2")}, `for uid ""`},
		"the renderer's, with its claim":  {changes{released, byRenderer}, []client.Object{uid("1")}, same1},
		"the renderer's, bound":           {changes{phase(corev1.VolumeBound), byRenderer}, nil, same1},
		"the renderer's, failed":          {changes{phase(corev1.VolumeFailed), byRenderer}, nil, same1},
		"the renderer's, free already":    {changes{released, byRenderer, forClaim("shop", "data", "")}, nil, `for uid ""`},
		"the renderer's, for nobody":      {changes{released, byRenderer, func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }}, nil, "for nobody"},
		"the renderer's, to be deleted":   {changes{released, byRenderer, policy(corev1.PersistentVolumeReclaimDelete)}, nil, same1},
		"the renderer's, to be recycled":  {changes{released, byRenderer, policy(corev1.PersistentVolumeReclaimRecycle)}, nil, same1},
		"somebody's, released":            {changes{released, foreign}, nil, same1},
		"ceph-csi's, released":            {changes{released, dynamic, named("shop.data")}, nil, same1},
		"ceph-csi's, released, marked as migratable": {changes{released, dynamic, named("shop.data"), func(pv *corev1.PersistentVolume) {
			pv.Annotations = map[string]string{"cephferry.io/migratable": "true"}
		}}, nil, same1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, append(test.others, ptr(volume(test.volume...)))...)
			same(t, "it", test.want, w.becomes())
			same(t, "Ceph", []string(nil), w.asked)
		})
	}
}

// TestAVolumeThatChangesMeanwhileStays: what was decided on an old state is not
// carried out.
func TestAVolumeThatChangesMeanwhileStays(t *testing.T) {
	for name, change := range map[string]func(*corev1.PersistentVolume){
		"the cluster's":  phase(corev1.VolumeReleased),
		"the renderer's": func(pv *corev1.PersistentVolume) { phase(corev1.VolumeReleased)(pv); byRenderer(pv) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, ptr(volume(change)))
			w.volumes.API = interceptor.NewClient(w.objects, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
					var pv corev1.PersistentVolume
					if err := c.Get(ctx, client.ObjectKey{Name: "shop.data"}, &pv); err != nil {
						return err
					}
					pv.Spec.ClaimRef.UID = "3"
					if err := c.Update(ctx, &pv); err != nil {
						return err
					}
					return c.Get(ctx, key, into, options...)
				},
			})
			same(t, "it", `for uid "3"`, w.becomes())
		})
	}
}

// TestTheAPIServerFails: nothing is done on what is not known.
func TestTheAPIServerFails(t *testing.T) {
	broken := errors.New("boom")
	for name, funcs := range map[string]interceptor.Funcs{
		"read claim shop/data: boom": {Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return broken
		}},
		"list VolumeAttachments: boom": {List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken }},
	} {
		w := newWorld(t, nil, ptr(volume(phase(corev1.VolumeReleased))))
		w.volumes.API = interceptor.NewClient(w.objects, funcs)
		same(t, "it", name, w.becomes())
		same(t, "volumes", []string{"shop.data"}, w.names())
	}
}

// TestTheGuardKeepsAVolumeFromItsNextClaim while another cluster has the image.
func TestTheGuardKeepsAVolumeFromItsNextClaim(t *testing.T) {
	w := newWorld(t, nil, ptr(volume(phase(corev1.VolumeReleased), byRenderer)))
	free := w.volumes.Client
	w.volumes.Client = interceptor.NewClient(w.objects, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return forbidden("in use")
		},
	})
	same(t, "it", "later", w.becomes())
	w.volumes.Client = free
	same(t, "it", `for uid ""`, w.becomes())
}
