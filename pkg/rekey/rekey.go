package rekey

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Rekeyer gives pairs of one cluster its key.
type Rekeyer struct {
	// API is the API server, without a cache.
	API    client.Client
	Finder volumes.Finder
	// Image is the image of a volume, in the Ceph where it is.
	Image  func(ctx context.Context, volume volumes.Volume) (idle.Ceph, ceph.ImageSpec, error)
	Prover *idle.Prover
	Person idle.Person
	// Wait is for the time that is left since the last admission, see [idle.Prover.Release].
	Wait   func(ctx context.Context, rest time.Duration) error
	Copies Copies
	// Limit is how long the API server may take to delete or to bind the volume.
	Limit time.Duration
}

// Rekey does what the claim's pair needs, and says each step that is done. It returns an
// [*idle.Refusal] or an [*imagename.Refusal] when nothing may be done.
func (r *Rekeyer) Rekey(ctx context.Context, namespace, claim string, say func(string)) error {
	pair, err := r.pair(ctx, namespace, claim)
	if err != nil {
		return err
	}
	step, err := Decide(pair)
	if err != nil {
		return err
	}
	old := pair.Volume
	if step == Restore {
		old = pair.Copy
	}
	storage, volume, spec, err := r.storage(ctx, old)
	if err != nil {
		return err
	}
	next := pair.Copy
	if step == Replace {
		if next, err = keyed(old, spec.Key); err == nil {
			err = checkKeys(ctx, storage, spec)
		}
		if err == nil {
			err = r.replace(ctx, storage, volume, spec, next, say)
		}
	} else {
		err = r.checkKeyed(ctx, storage, spec)
	}
	if err == nil && step != Finish {
		if err = r.make(ctx, next); err == nil {
			say(fmt.Sprintf("PersistentVolume %s has the handle %s", next.Name, next.Spec.CSI.VolumeHandle))
		}
	}
	if err != nil {
		return err
	}
	return r.finish(ctx, pair, say)
}

// pair reads what there is of a pair.
func (r *Rekeyer) pair(ctx context.Context, namespace, name string) (Pair, error) {
	var claim corev1.PersistentVolumeClaim
	if err := r.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &claim); err != nil {
		return Pair{}, fmt.Errorf("read the claim: %w", err)
	}
	return r.volume(ctx, &claim)
}

// volume reads the volume of a claim, and the copy.
func (r *Rekeyer) volume(ctx context.Context, claim *corev1.PersistentVolumeClaim) (Pair, error) {
	pair := Pair{Claim: claim}
	name := claim.Spec.VolumeName
	if name == "" {
		return pair, nil
	}
	var err error
	pair.Path = r.Copies.Path(name)
	if pair.Copy, err = r.Copies.Read(name); err != nil {
		return Pair{}, err
	}
	var pv corev1.PersistentVolume
	err = r.API.Get(ctx, client.ObjectKey{Name: name}, &pv)
	if client.IgnoreNotFound(err) != nil {
		return Pair{}, fmt.Errorf("read PersistentVolume %s: %w", name, err)
	}
	if err == nil {
		pair.Volume = &pv
	}
	return pair, nil
}

// storage is where the image of a volume is, by the name that it has with this cluster's
// key, which is claimed if the cluster has none.
func (r *Rekeyer) storage(ctx context.Context, pv *corev1.PersistentVolume) (idle.Ceph, volumes.Volume, ceph.ImageSpec, error) {
	volume, guarded, err := r.Finder.Guarded(pv)
	if err == nil && !guarded {
		err = errors.New("its volume is not guarded; `kubectl cephferry status` lists those that are")
	}
	if err != nil {
		return nil, volume, ceph.ImageSpec{}, err
	}
	storage, spec, err := r.Image(ctx, volume)
	if err != nil {
		return nil, volume, spec, err
	}
	if spec.Key != "" {
		return storage, volume, spec, imagename.CheckKey(ctx, storage, spec, r.Prover.Self)
	}
	spec.Key, err = imagename.ClaimKey(ctx, storage, spec, r.Prover.Self)
	return storage, volume, spec, err
}

// replace makes the image keyed, and takes its volume out of the cluster.
func (r *Rekeyer) replace(ctx context.Context, storage idle.Ceph, volume volumes.Volume, spec ceph.ImageSpec, next *corev1.PersistentVolume, say func(string)) error {
	look, err := r.prove(ctx, storage, volume, spec, say)
	if err != nil {
		return err
	}
	if err := r.Copies.Write(next); err != nil {
		return fmt.Errorf("keep a copy of PersistentVolume %s, with --save in another directory if need be: %w", next.Name, err)
	}
	say("what PersistentVolume " + next.Name + " is to be stands in " + r.Copies.Path(next.Name))
	for !look.Record.Keyed {
		if _, err = storage.PutRecord(ctx, look.Image, keyedRecord(look.Record, volume.PV)); err == nil {
			say("the image is keyed from now on")
		} else if !errors.Is(err, ceph.ErrRecordChanged) {
			return fmt.Errorf("make the image keyed: %w", err)
		}
		// Again also when it is written: an admission that began before may have brought a pod.
		if look, err = r.prove(ctx, storage, volume, spec, say); err != nil {
			return err
		}
	}
	if err := r.delete(ctx, volume.PV); err != nil {
		return err
	}
	say("PersistentVolume " + next.Name + " is deleted")
	return nil
}

// prove returns what was seen of an image whose volume may be replaced. One that is this
// cluster's is released.
func (r *Rekeyer) prove(ctx context.Context, storage idle.Ceph, volume volumes.Volume, spec ceph.ImageSpec, say func(string)) (idle.Look, error) {
	for {
		look, err := r.Prover.Look(ctx, storage, volume, spec, r.Prover.Usage.Live())
		if err != nil {
			return look, err
		}
		if isOurs(look.Record, r.Prover.Self) {
			released, err := r.Prover.Release(ctx, storage, volume, spec, r.Person, r.Wait)
			if err != nil {
				return look, err
			}
			if released {
				say("released")
			}
			continue
		}
		watchers, err := r.watchers(ctx, storage, volume, spec, look.Record)
		if err != nil {
			return look, err
		}
		return look, mayReplace(look.Record, look.Evidence, watchers)
	}
}

// watchers are the clients that have an image open that nobody owns.
func (r *Rekeyer) watchers(ctx context.Context, storage idle.Ceph, volume volumes.Volume, spec ceph.ImageSpec, record ceph.Record) ([]string, error) {
	if record.State != ceph.Free {
		return nil, nil
	}
	local, err := r.Prover.Usage.Local(ctx, r.Prover.Usage.Live(), volume)
	if err != nil {
		return nil, err
	}
	all, err := storage.Watchers(ctx, spec)
	if err != nil {
		return nil, err
	}
	var open []string
	for _, watcher := range all {
		if !local.IsExempt(watcher) {
			open = append(open, watcher.Addr)
		}
	}
	return open, nil
}

// checkKeys returns an [*idle.Refusal] if the image is not keyed yet, and could never carry the
// key of another cluster. In one that is, this cluster's volume alone has to follow.
func checkKeys(ctx context.Context, storage idle.Ceph, spec ceph.ImageSpec) error {
	keys, err := storage.Keys(ctx, spec.Pool, spec.Namespace)
	if err != nil {
		return fmt.Errorf("read the keys of all clusters: %w", err)
	}
	refusal := fitsKeys(spec.Name, keys)
	if refusal == nil {
		return nil
	}
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return err
	}
	record, err := ownership.Read(ctx, storage, image)
	if err != nil || record.Keyed {
		return err
	}
	return refusal
}

// checkKeyed is for a volume, or the copy of one, that has a key: the image became keyed
// before it was made.
func (r *Rekeyer) checkKeyed(ctx context.Context, storage idle.Ceph, spec ceph.ImageSpec) error {
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return err
	}
	record, err := ownership.Read(ctx, storage, image)
	if err == nil && !record.Keyed {
		err = &idle.Refusal{
			What: fmt.Sprintf("PersistentVolume %s, or the copy of it, has the handle %s, and the image is not keyed, so this command did not make it", spec.Name, spec.Own()),
			Do:   fmt.Sprintf("make the PersistentVolume with the handle %s, as it was, then run the same command again", spec.Name),
		}
	}
	return err
}

// Unkeyed are the claims in the namespace whose pairs have no key yet, or are not done. Those
// that ask for none are not among them.
func (r *Rekeyer) Unkeyed(ctx context.Context, namespace string) ([]string, error) {
	var claims []corev1.PersistentVolumeClaim
	err := usage.EachPage(ctx, usage.Source{Reader: r.API}, func(list *corev1.PersistentVolumeClaimList) { claims = append(claims, list.Items...) }, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("list claims: %w", err)
	}
	var all []string
	for i := range claims {
		pair, err := r.volume(ctx, &claims[i])
		if err != nil {
			return nil, err
		}
		if pair.Volume != nil && pair.Copy == nil {
			_, guarded, err := r.Finder.Guarded(pair.Volume)
			if err == nil && (!guarded || !isPair(pair.Volume, pair.Claim) || isKeyed(pair.Volume)) || pair.Claim.Annotations[annotations.Keyed] == "false" {
				continue
			}
		}
		if pair.Volume != nil || pair.Copy != nil {
			all = append(all, pair.Claim.Name)
		}
	}
	return all, nil
}
