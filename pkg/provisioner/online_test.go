package provisioner

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

func exclusively(pv *corev1.PersistentVolume) {
	pv.Spec.CSI.VolumeAttributes["mapOptions"] = "krbd:exclusive"
}

// TestNextStep: a volume never says more than there is, nothing is ever lowered, and no more
// is allocated than the volume says.
func TestNextStep(t *testing.T) {
	for name, test := range map[string]struct {
		sizes sizes
		want  step
		to    int64
	}{
		"as it was made":                                {sizes{Image: 1, Asked: 1, Volume: 1, Claim: 1}, done, 1},
		"the image has grown":                           {sizes{Image: 4, Asked: 4, Volume: 1, Claim: 1}, raise, 4},
		"the image has more than is asked for":          {sizes{Image: 8, Asked: 4, Volume: 1, Claim: 1}, raise, 4},
		"the image has not grown":                       {sizes{Image: 1, Asked: 4, Volume: 1, Claim: 1}, done, 1},
		"the image has grown by less than is asked for": {sizes{Image: 2, Asked: 4, Volume: 1, Claim: 1}, raise, 2},
		"grown by hand, and nobody asks for it":         {sizes{Image: 4, Asked: 1, Volume: 1, Claim: 1}, done, 1},
		"the volume is raised":                          {sizes{Image: 4, Asked: 4, Volume: 4, Claim: 1}, await, 4},
		"the node has grown the filesystem":             {sizes{Image: 4, Asked: 4, Volume: 4, Claim: 4}, done, 4},
		"the node has, and the volume was set back":     {sizes{Image: 4, Asked: 4, Volume: 1, Claim: 4}, raise, 4},
		"a volume that says more than there is":         {sizes{Image: 4, Asked: 4, Volume: 8, Claim: 1}, done, 8},
		"a claim that does not say what it has":         {sizes{Image: 4, Asked: 4, Volume: 4}, await, 4},

		"by request, the image has grown":                  {sizes{Image: 4, Asked: 4, Volume: 1, Claim: 1, Requested: true, Allocated: 1}, raise, 4},
		"by request, the volume is raised":                 {sizes{Image: 4, Asked: 4, Volume: 4, Claim: 1, Requested: true, Allocated: 1}, allocate, 4},
		"by request, and a kubelet has taken the old mark": {sizes{Image: 4, Asked: 4, Volume: 4, Claim: 1, Requested: true}, allocate, 4},
		"by request, and it is allocated":                  {sizes{Image: 4, Asked: 4, Volume: 4, Claim: 1, Requested: true, Allocated: 4}, await, 4},
		"by request, and the node has grown it":            {sizes{Image: 4, Asked: 4, Volume: 4, Claim: 4, Requested: true}, done, 4},
		"by request, which was lowered meanwhile":          {sizes{Image: 4, Asked: 2, Volume: 4, Claim: 1, Requested: true, Allocated: 4}, await, 4},
		"by request, which was raised once more":           {sizes{Image: 8, Asked: 8, Volume: 4, Claim: 1, Requested: true, Allocated: 4}, raise, 8},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.sizes.next(); got != test.want || test.sizes.target() != test.to {
				t.Errorf("next %q, to %d, want %q, to %d", got, test.sizes.target(), test.want, test.to)
			}
		})
	}
}

// kubelet is what one does with claim shop/data, which a pod has mounted since it had what
// its status says: the older way for a claim without an allocation, otherwise to what is
// allocated, and nothing without a mark. It reports whether it called NodeExpandVolume.
func (w *world) kubelet() bool {
	w.Helper()
	claim, pv := w.stored()
	size := *pv.Spec.Capacity.Storage()
	if size.Cmp(*claim.Status.Capacity.Storage()) <= 0 {
		return false
	}
	if claim.Status.AllocatedResources != nil {
		size = *claim.Status.AllocatedResources.Storage()
		if claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] != corev1.PersistentVolumeClaimNodeResizePending {
			return false
		}
	}
	claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: size}
	claim.Status.AllocatedResourceStatuses, claim.Status.Conditions = nil, nil
	if err := w.objects.Status().Update(w.Context(), &claim); err != nil {
		w.Fatal(err)
	}
	return true
}

// TestGrowingOnline: a pod has the volume mounted all the time.
func TestGrowingOnline(t *testing.T) {
	const pending = "FileSystemResizePending: image shop.data has 4Mi; the node that has it mounted grows the filesystem, usually within two minutes; where it does not, scale the workload to zero and up again"
	byAnnotation := func() *corev1.PersistentVolumeClaim {
		return edit(pvc("size=4Mi"), func(c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeName, c.Status.Phase, c.Status.Capacity = "shop.data", corev1.ClaimBound, storageOf("1Mi")
		})
	}
	type does = func(*world) bool
	ours := func(w *world) bool {
		if _, err := w.reconcile("data"); err != nil {
			w.Fatal(err)
		}
		return true
	}
	kubelet := (*world).kubelet
	type after struct {
		does  does
		sizes string
		says  []string
	}
	const asked = "image 4, volume 4Mi, claim 1Mi, allocated 1Mi NodeResizePending"
	for name, test := range map[string]struct {
		claim *corev1.PersistentVolumeClaim
		steps []after
	}{
		"by request": {boundOf("4Mi"), []after{
			{ours, asked, nil},
			{ours, "image 4, volume 4Mi, claim 1Mi, allocated 4Mi NodeResizePending", []string{pending}},
			{ours, "image 4, volume 4Mi, claim 1Mi, allocated 4Mi NodeResizePending", []string{pending}},
			{kubelet, "image 4, volume 4Mi, claim 4Mi, allocated 4Mi ", nil},
			{ours, "image 4, volume 4Mi, claim 4Mi, allocated 4Mi NodeResizePending", nil},
			{ours, "image 4, volume 4Mi, claim 4Mi, allocated 4Mi NodeResizePending", nil},
		}},
		"by request, and a kubelet comes between": {boundOf("4Mi"), []after{
			{ours, asked, nil},
			{kubelet, "image 4, volume 4Mi, claim 1Mi, allocated 1Mi ", nil},
			{ours, "image 4, volume 4Mi, claim 1Mi, allocated 4Mi NodeResizePending", []string{pending}},
			{kubelet, "image 4, volume 4Mi, claim 4Mi, allocated 4Mi ", nil},
			{ours, "image 4, volume 4Mi, claim 4Mi, allocated 4Mi NodeResizePending", nil},
		}},
		"by annotation": {byAnnotation(), []after{
			{ours, "image 4, volume 4Mi, claim 1Mi, allocated 0 ", []string{pending}},
			{ours, "image 4, volume 4Mi, claim 1Mi, allocated 0 ", []string{pending}},
			{kubelet, "image 4, volume 4Mi, claim 4Mi, allocated 0 ", nil},
			{ours, "image 4, volume 4Mi, claim 4Mi, allocated 0 ", nil},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, grownImage(1, 1), test.claim, expandable(), attachment("shop.data"), ptr(volume(holding("1Mi"))))
			for i, step := range test.steps {
				if !step.does(w) {
					t.Errorf("step %d: the kubelet did nothing", i)
				}
				same(t, "sizes", step.sizes, w.sizes())
				same(t, "says", step.says, w.conditions("data"))
			}
		})
	}
}

// TestAKubeletAtWorkIsLeftAlone: whoever writes to a claim whose filesystem a kubelet grows
// makes it do so again.
func TestAKubeletAtWorkIsLeftAlone(t *testing.T) {
	working := func(allocated string) *corev1.PersistentVolumeClaim {
		return edit(boundOf("4Mi"), func(c *corev1.PersistentVolumeClaim) {
			c.Status.AllocatedResources = storageOf(allocated)
			c.Status.AllocatedResourceStatuses[corev1.ResourceStorage] = corev1.PersistentVolumeClaimNodeResizeInProgress
		})
	}
	for name, test := range map[string]struct {
		claim *corev1.PersistentVolumeClaim
		want  string
	}{
		"of what is asked for":         {working("4Mi"), "image 4, volume 4Mi, claim 1Mi, allocated 4Mi NodeResizeInProgress"},
		"of what was there before":     {working("1Mi"), "image 4, volume 4Mi, claim 1Mi, allocated 4Mi NodeResizePending"},
		"of more than its volume says": {working("8Mi"), "image 4, volume 4Mi, claim 1Mi, allocated 4Mi NodeResizePending"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, grownImage(4, 1), test.claim, expandable(), attachment("shop.data"), ptr(volume(holding("4Mi"))))
			for range 2 {
				if _, err := w.reconcile("data"); err != nil {
					t.Fatal(err)
				}
			}
			same(t, "sizes", test.want, w.sizes())
		})
	}
}

// TestAVolumeOfADriverWithoutAttachments says what there is when the annotation asks for it:
// whoever mounts it grows the filesystem.
func TestAVolumeOfADriverWithoutAttachments(t *testing.T) {
	no := false
	driver := &storagev1.CSIDriver{Spec: storagev1.CSIDriverSpec{AttachRequired: &no}}
	driver.Name = "rook-ceph.rbd.csi.ceph.com"
	claim := edit(pvc("size=4Mi"), func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName, c.Status.Phase, c.Status.Capacity = "shop.data", corev1.ClaimBound, storageOf("1Mi")
	})
	w := newWorld(t, grownImage(1, 1), claim, driver, ptr(volume(holding("1Mi"))))
	if _, err := w.reconcile("data"); err != nil {
		t.Fatal(err)
	}
	same(t, "sizes", "image 4, volume 4Mi, claim 1Mi, allocated 0 ", w.sizes())
	same(t, "says", []string(nil), w.conditions("data"))
}
