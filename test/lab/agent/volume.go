package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab/stamp"
)

const (
	pollInterval  = 100 * time.Millisecond
	mountRetry    = 500 * time.Millisecond // kubelet's, doubled each time
	mountRetryMax = 2 * time.Minute
	stageLimit    = 2 * time.Minute // kubelet's for a call to a CSI driver
)

// volume is a volume that pods of this node use.
type volume struct {
	volumeID
	// pods and use belong to node.mu.
	pods int
	use  use

	turn   chan struct{} // full while the volume is staged or unstaged
	staged staged        // nil before and after that
}

// volumeID names a volume as kubelet's folders do.
type volumeID struct{ driver, handle string }

// String is the volume's name in the status of nodes.
func (v volumeID) String() string { return "kubernetes.io/csi/" + v.driver + "^" + v.handle }

// staged is a volume that is open on this node.
type staged interface {
	// stamp writes the pod's next stamp into it.
	stamp(stamp.Writer) error
	// expand makes the filesystem as large as what it is on, and returns the size, 0 if that
	// is known at once by everybody.
	expand() (uint64, error)
	close() error
}

// stage opens the volume, unless a pod of this node has it open. Nobody can call it off:
// when the pod is deleted, kubelet no longer waits for ceph-csi, which goes on, and may
// even open the image then. The volume stays in use on the node until that is over, and
// is unstaged.
func (n *node) stage(ctx context.Context, v *volume, pv *corev1.PersistentVolume) error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stageLimit)
		defer cancel()
		done <- n.open(ctx, v, pv)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open is stage without its end when the pod is deleted.
func (n *node) open(ctx context.Context, v *volume, pv *corev1.PersistentVolume) error {
	v.turn <- struct{}{}
	defer func() { <-v.turn }()
	if v.staged != nil || n.unused(v) {
		return nil
	}
	open := n.openImage
	if v.driver == n.Operator.cephFS() {
		open = n.mountFolder
	}
	staged, err := open(ctx, pv)
	if err != nil {
		return err
	}
	v.staged = staged
	return nil
}

// mount opens the pod's volumes, all at a time as kubelet does. It returns those that it
// counted, on an error too.
func (n *node) mount(ctx context.Context, pod *corev1.Pod) ([]*volume, error) {
	names := claims(pod)
	mounted, errs := make([]*volume, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, claim := range names {
		all.Go(func() { mounted[i], errs[i] = n.mountOne(ctx, pod, claim) })
	}
	all.Wait()
	return slices.DeleteFunc(mounted, func(v *volume) bool { return v == nil }), errors.Join(errs...)
}

// mountOne opens the volume of a claim, nil if it is no business of ours.
func (n *node) mountOne(ctx context.Context, pod *corev1.Pod, claim string) (*volume, error) {
	pv, err := n.awaitVolume(ctx, pod.Namespace, claim)
	if err != nil {
		return nil, err
	}
	if pv.Spec.CSI == nil || !n.Operator.runs(pv.Spec.CSI.Driver) {
		return nil, nil
	}
	id := volumeID{pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle}
	n.mu.Lock()
	v, ok := n.volumes[id]
	if !ok {
		v = &volume{volumeID: id, turn: make(chan struct{}, 1)}
		n.volumes[id] = v
	}
	v.pods++
	n.mu.Unlock()

	if err := n.awaitAttachment(ctx, pv); err != nil {
		return v, err
	}
	if err := retryForever(ctx, n.Log, "report volumes", n.reportVolumes); err != nil {
		return v, err
	}
	for delay := mountRetry; ; delay = min(2*delay, mountRetryMax) {
		err := n.stage(ctx, v, pv)
		if err == nil && !readOnly(pod, claim) {
			err = n.expandAtMount(ctx, v, pv, pod.Namespace, claim)
		}
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		n.Log.Error("mount", "pod", pod.Namespace+"/"+pod.Name, "volume", pv.Name, "error", err)
		n.warn(ctx, pod, fmt.Sprintf("MountVolume.MountDevice failed for volume %q : rpc error: code = Internal desc = %v", pv.Name, err))
		if err := pause(ctx, delay); err != nil {
			return v, err
		}
	}
}

// unmount closes the volumes that no other pod of this node uses.
func (n *node) unmount(ctx context.Context, volumes []*volume) {
	var all sync.WaitGroup
	for _, v := range volumes {
		n.mu.Lock()
		v.pods--
		n.mu.Unlock()
		all.Go(func() { n.unstage(v) })
	}
	all.Wait()
	if len(volumes) != 0 {
		_ = retryForever(ctx, n.Log, "report volumes", n.reportVolumes)
	}
}

func (n *node) unused(v *volume) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return v.pods == 0
}

// unstage closes the volume if no pod uses it.
func (n *node) unstage(v *volume) {
	v.turn <- struct{}{}
	defer func() { <-v.turn }()
	if !n.unused(v) {
		return
	}
	if v.staged != nil {
		if err := v.staged.close(); err != nil {
			n.Log.Error("close", "volume", v.handle, "error", err)
		} else {
			n.Log.Info("closed", "volume", v.handle)
		}
		v.staged = nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v.pods == 0 && n.volumes[v.volumeID] == v {
		delete(n.volumes, v.volumeID)
	}
}

// claims are the names of the pod's claims.
func claims(pod *corev1.Pod) []string {
	var names []string
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, pod.Name+"-"+v.Name)
		}
	}
	return names
}

// readOnly reports whether the pod uses the claim to read only: kubelet expands nothing then.
func readOnly(pod *corev1.Pod, claim string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim && v.PersistentVolumeClaim.ReadOnly
	})
}

// awaitVolume waits until the claim is bound.
func (n *node) awaitVolume(ctx context.Context, namespace, claim string) (*corev1.PersistentVolume, error) {
	var pv *corev1.PersistentVolume
	err := n.await(ctx, "claim "+namespace+"/"+claim, func(ctx context.Context) error {
		pvc, err := n.Client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, claim, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pvc.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("it is %s", pvc.Status.Phase)
		}
		pv, err = n.Client.CoreV1().PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
		return err
	})
	return pv, err
}

// awaitAttachment waits for the VolumeAttachment, where the driver wants one.
func (n *node) awaitAttachment(ctx context.Context, pv *corev1.PersistentVolume) error {
	csi := pv.Spec.CSI
	wanted := true
	if err := n.await(ctx, "driver "+csi.Driver, func(ctx context.Context) error {
		driver, err := n.Client.StorageV1().CSIDrivers().Get(ctx, csi.Driver, metav1.GetOptions{})
		wanted = err != nil || driver.Spec.AttachRequired == nil || *driver.Spec.AttachRequired
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}); err != nil || !wanted {
		return err
	}
	name := attachmentName(volumeID{csi.Driver, csi.VolumeHandle}, n.Node)
	return n.await(ctx, "attachment of "+pv.Name, func(ctx context.Context) error {
		if n.attachments != nil {
			// It says that there is none without asking the API server for each volume.
			if known, there, err := n.attachments.GetByKey(name); err != nil || !there || !isAttached(known) {
				return errors.Join(errors.New("it is not attached"), err)
			}
		}
		attachment, err := n.Client.StorageV1().VolumeAttachments().Get(ctx, name, metav1.GetOptions{})
		if err == nil && !isAttached(attachment) {
			err = errors.New("it is not attached")
		}
		return err
	})
}

func isAttached(object any) bool {
	attachment, ok := object.(*storagev1.VolumeAttachment)
	return ok && attachment.Status.Attached && attachment.DeletionTimestamp == nil
}

// attachmentName is kube-controller-manager's name for a VolumeAttachment.
func attachmentName(v volumeID, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(v.handle+v.driver+node)))
}

// await polls check, and logs why it waits when the reason changes.
func (n *node) await(ctx context.Context, what string, check func(context.Context) error) error {
	for last := ""; ; {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := check(bounded)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err.Error() != last {
			last = err.Error()
			n.Log.Info("waiting", "for", what, "because", last)
		}
		if err := pause(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// warn makes an event for the pod, for people.
func (n *node) warn(ctx context.Context, pod *corev1.Pod, message string) {
	now := metav1.Now()
	_, err := n.Client.CoreV1().Events(pod.Namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: pod.Name + ".", Namespace: pod.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Type:           corev1.EventTypeWarning,
		Reason:         "FailedMount",
		Message:        message,
		Source:         corev1.EventSource{Component: "kubelet", Host: n.Node},
		FirstTimestamp: now,
		LastTimestamp:  now,
		Count:          1,
	}, metav1.CreateOptions{})
	if err != nil {
		n.Log.Error("make event", "error", err)
	}
}
