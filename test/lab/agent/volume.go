package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

const (
	pollInterval = 100 * time.Millisecond
	// ceph-csi looks for other watchers that often before it gives up, with
	// pauses that begin like this and grow (its waitForrbdImage).
	watcherLooks  = 10
	firstPause    = time.Second
	pauseGrowth   = 1.4
	mountRetry    = 500 * time.Millisecond // kubelet's, doubled each time
	mountRetryMax = 2 * time.Minute
)

// volume is an image that pods of this node use.
type volume struct {
	handle string
	pods   int // belongs to node.mu

	mu    sync.Mutex // held while the image is opened or closed
	image Image
	// chain is nil when the image must not be written: it is open read-only, or
	// has other data.
	chain *stamp.Chain
}

// stamp writes the next stamp into the volume.
func (v *volume) stamp(writer stamp.Writer) error {
	if v.chain == nil {
		return nil
	}
	return v.chain.Write(writer)
}

// mount opens the images of the pod's volumes. It returns those that it counted,
// on an error too.
func (n *node) mount(ctx context.Context, pod *corev1.Pod) ([]*volume, error) {
	var mounted []*volume
	for _, claim := range claims(pod) {
		pv, err := n.awaitVolume(ctx, pod.Namespace, claim)
		if err != nil {
			return mounted, err
		}
		if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != Driver {
			continue
		}
		n.mu.Lock()
		v, ok := n.volumes[pv.Spec.CSI.VolumeHandle]
		if !ok {
			v = &volume{handle: pv.Spec.CSI.VolumeHandle}
			n.volumes[v.handle] = v
		}
		v.pods++
		n.mu.Unlock()
		mounted = append(mounted, v)

		if err := n.awaitAttachment(ctx, pv); err != nil {
			return mounted, err
		}
		if err := retryForever(ctx, n.Log, "report volumes", n.reportVolumes); err != nil {
			return mounted, err
		}
		for delay := mountRetry; ; delay = min(2*delay, mountRetryMax) {
			err := n.stage(ctx, v, pv)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return mounted, ctx.Err()
			}
			n.Log.Error("mount", "pod", pod.Namespace+"/"+pod.Name, "volume", pv.Name, "error", err)
			n.warn(ctx, pod, fmt.Sprintf("MountVolume.MountDevice failed for volume %q : rpc error: code = Internal desc = %v", pv.Name, err))
			if err := pause(ctx, delay); err != nil {
				return mounted, err
			}
		}
	}
	return mounted, nil
}

// unmount closes the images that no other pod of this node uses.
func (n *node) unmount(ctx context.Context, volumes []*volume) {
	for _, v := range volumes {
		n.mu.Lock()
		v.pods--
		n.mu.Unlock()
		n.unstage(v)
	}
	if len(volumes) != 0 {
		_ = retryForever(ctx, n.Log, "report volumes", n.reportVolumes)
	}
}

func (n *node) unused(v *volume) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return v.pods == 0
}

// stage opens the image, unless a pod of this node has it open.
func (n *node) stage(ctx context.Context, v *volume, pv *corev1.PersistentVolume) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.image != nil {
		return nil
	}
	spec, settings, err := n.locate(ctx, pv)
	if err != nil {
		return err
	}
	mode := mapMode(pv)
	shared := slices.Contains(pv.Spec.AccessModes, corev1.ReadWriteMany)
	if !n.IgnoreWatchers && !shared && mode != ReadOnly {
		if err := n.awaitNoWatcher(ctx, spec, settings); err != nil {
			return err
		}
	}

	client, err := n.connect(settings)
	if err != nil {
		return err
	}
	image, err := client.Open(spec, mode)
	if err != nil {
		n.disconnect()
		return err
	}
	if mode != ReadOnly {
		if v.chain, err = continueChain(image); errors.Is(err, stamp.ErrOtherData) {
			n.Log.Warn("no stamps", "image", spec, "reason", err)
		} else if err != nil {
			err = errors.Join(err, image.Close())
			n.disconnect()
			return err
		}
	}
	v.image = image
	n.Log.Info("opened", "image", spec, "mode", mode, "as", client.Address())
	return nil
}

func continueChain(image Image) (*stamp.Chain, error) {
	size, err := image.Size()
	if err != nil {
		return nil, err
	}
	return stamp.Continue(image, size)
}

// unstage closes the image if no pod uses it.
func (n *node) unstage(v *volume) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !n.unused(v) {
		return
	}
	if v.image != nil {
		if err := v.image.Close(); err != nil {
			n.Log.Error("close", "volume", v.handle, "error", err)
		} else {
			n.Log.Info("closed", "volume", v.handle)
		}
		v.image, v.chain = nil, nil
		n.disconnect()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v.pods == 0 && n.volumes[v.handle] == v {
		delete(n.volumes, v.handle)
	}
}

// connect returns the client that all images of the node share, and counts its
// user. It is a new one, with a new nonce, after all images were closed.
func (n *node) connect(settings CephSettings) (Client, error) {
	n.clientMu.Lock()
	defer n.clientMu.Unlock()
	if n.client == nil {
		client, err := n.Dial(settings)
		if err != nil {
			return nil, err
		}
		n.client, n.settings = client, settings
	} else if n.settings != settings {
		return nil, errors.New("the images of a node must have one Ceph and one user")
	}
	n.opened++
	return n.client, nil
}

func (n *node) disconnect() {
	n.clientMu.Lock()
	defer n.clientMu.Unlock()
	if n.opened--; n.opened == 0 {
		n.client.Close()
		n.client = nil
	}
}

// awaitNoWatcher looks for other watchers as ceph-csi does: through a client of
// its own, whose open is a watcher too.
func (n *node) awaitNoWatcher(ctx context.Context, spec ceph.ImageSpec, settings CephSettings) error {
	client, err := n.Dial(settings)
	if err != nil {
		return err
	}
	defer client.Close()
	delay := firstPause
	for look := 1; ; look++ {
		watchers, err := client.Watchers(spec)
		if err != nil {
			return err
		}
		if len(watchers) <= 1 {
			return nil
		}
		n.Log.Info("in use", "image", spec, "watchers", watchers)
		if look == watcherLooks {
			return fmt.Errorf("rbd image %s is still being used", spec)
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
		delay = time.Duration(float64(delay) * pauseGrowth)
	}
}

func mapMode(pv *corev1.PersistentVolume) Mode {
	if !slices.ContainsFunc(pv.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadOnlyMany }) {
		return ReadOnly
	}
	// krbd:a,b;nbd:c or a,b
	for options := range strings.SplitSeq(pv.Spec.CSI.VolumeAttributes["mapOptions"], ";") {
		mounter, list, ok := strings.Cut(options, ":")
		if !ok {
			mounter, list = "krbd", options
		}
		if mounter == "krbd" && slices.Contains(strings.Split(list, ","), "exclusive") {
			return Exclusive
		}
	}
	return ReadWrite
}

// locate finds the volume's image as ceph-csi does, and how to reach its Ceph.
func (n *node) locate(ctx context.Context, pv *corev1.PersistentVolume) (ceph.ImageSpec, CephSettings, error) {
	var spec ceph.ImageSpec
	var settings CephSettings
	csi := pv.Spec.CSI
	ref := csi.NodeStageSecretRef
	if ref == nil {
		return spec, settings, errors.New("stage secrets cannot be nil or empty")
	}
	secret, err := n.Client.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return spec, settings, fmt.Errorf("read secret: %w", err)
	}
	entry, err := n.csiConfig(ctx, ref.Namespace, csi.VolumeAttributes["clusterID"])
	if err != nil {
		return spec, settings, err
	}
	spec = ceph.ImageSpec{Pool: csi.VolumeAttributes["pool"], Namespace: entry.RBD.RadosNamespace, Name: csi.VolumeAttributes["imageName"]}
	if csi.VolumeAttributes["staticVolume"] == "true" {
		spec.Name = csi.VolumeHandle
	}
	settings = CephSettings{
		MonHost: strings.Join(entry.Monitors, ","),
		User:    string(secret.Data["userID"]),
		Key:     string(secret.Data["userKey"]),
	}
	return spec, settings, nil
}

type csiEntry struct {
	ClusterID string   `json:"clusterID"`
	Monitors  []string `json:"monitors"`
	RBD       struct {
		RadosNamespace string `json:"radosNamespace"`
	} `json:"rbd"`
}

// csiConfig reads ceph-csi's config.json, which is mounted into its pods.
func (n *node) csiConfig(ctx context.Context, namespace, clusterID string) (csiEntry, error) {
	for name, key := range map[string]string{"ceph-csi-config": "config.json", "rook-ceph-csi-config": "csi-cluster-config-json"} {
		config, err := n.Client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return csiEntry{}, fmt.Errorf("read config: %w", err)
		}
		var entries []csiEntry
		if err := json.Unmarshal([]byte(config.Data[key]), &entries); err != nil {
			return csiEntry{}, fmt.Errorf("read config: %w", err)
		}
		for _, entry := range entries {
			if entry.ClusterID == clusterID {
				return entry, nil
			}
		}
	}
	return csiEntry{}, fmt.Errorf("missing configuration for cluster ID %q", clusterID)
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
	name := attachmentName(pv.Spec.CSI.VolumeHandle, n.Node)
	return n.await(ctx, "attachment of "+pv.Name, func(ctx context.Context) error {
		driver, err := n.Client.StorageV1().CSIDrivers().Get(ctx, Driver, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err == nil && driver.Spec.AttachRequired != nil && !*driver.Spec.AttachRequired {
			return nil
		}
		attachment, err := n.Client.StorageV1().VolumeAttachments().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !attachment.Status.Attached || attachment.DeletionTimestamp != nil {
			return errors.New("it is not attached")
		}
		return nil
	})
}

// attachmentName is kube-controller-manager's name for a VolumeAttachment.
func attachmentName(handle, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(handle+Driver+node)))
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
