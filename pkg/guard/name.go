package guard

import (
	"context"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// name gives an image that the record says is this cluster's the cluster's name, and looks
// after that who has it open or locked: who resolved another name a moment before may have
// opened the image since.
func (g *Guard) name(ctx context.Context, s *sight, image ceph.Image, written ceph.Record) error {
	_, holder, err := imagename.Take(ctx, s.ceph, image, g.Self, written.Renamers, s.self)
	var cannot *imagename.Refusal
	switch {
	case errors.As(err, &cannot):
		return refused{Answer{Result: Denied, Reason: OtherName, Message: noName(s.volume, s.spec, cannot)}}
	case errors.Is(err, ceph.ErrPermission):
		return refused{cannotRename(s, err)}
	case err != nil:
		return fmt.Errorf("give it the name %s: %w", s.spec.Own(), err)
	}
	again := g.lookAt(ctx, s.volume)
	if again.answer.Result != Allowed {
		return refused{again.answer}
	}
	if g.judge(ctx, again, holder) == nil {
		return nil
	}
	// Another replica may have had the lock at that time, to give the image the same name. The
	// record no longer names it.
	if holder, err = s.ceph.LockHolder(ctx, s.spec); err != nil {
		return refused{cannotKnow(CephUnknown, describe(s.volume, s.spec), err)}
	}
	return g.judge(ctx, again, holder)
}

// judge is the refusal for the client that has the image's lock, if there is one and it is
// foreign. One that is silent is no watcher.
func (g *Guard) judge(ctx context.Context, s sight, holder *ceph.LockedError) error {
	if holder == nil {
		return nil
	}
	verdict, err := g.decide(ctx, s, []ceph.Watcher{{Addr: holder.Addr, Client: holder.Client}})
	switch {
	case err != nil:
		return refused{cannotKnow(KubernetesUnknown, describe(s.volume, s.spec), err)}
	case !verdict.Allowed && !holder.Answers:
		return refused{Answer{Result: Denied, Reason: verdict.Reason, Message: notTaken(g.Self, describe(s.volume, s.spec), holder)}}
	case !verdict.Allowed:
		return refused{Answer{Result: Denied, Reason: verdict.Reason, Message: g.refusal(s.volume, s.spec, verdict.Foreign, s.record, told{})}}
	}
	return nil
}

// cannotRename is for a webhook whose Ceph user may look and write records only.
func cannotRename(s *sight, err error) Answer {
	return Answer{Result: Unknown, Reason: CephUnknown, Message: fmt.Sprintf("%s cannot be given the name %s: %v\n"+
		"  do this   give the webhook a Ceph user that may rename images (docs/security.md, \"What a rename needs\"), in the Secret that the chart's value ceph.secret names; no pod was started",
		describe(s.volume, s.spec), s.spec.Own(), err)}
}

// inTheWay is who has the image's lock, as a watcher: silent or not, it keeps the image from
// getting its name, unless it is fenced.
func (g *Guard) inTheWay(ctx context.Context, s sight) ([]ceph.Watcher, error) {
	holder, err := s.ceph.LockHolder(ctx, s.spec)
	if err != nil || holder == nil {
		return nil, err
	}
	if !holder.Answers {
		if fenced, err := imagename.IsFenced(ctx, s.ceph, holder.Addr); err != nil || fenced {
			return nil, err
		}
	}
	return []ceph.Watcher{{Addr: holder.Addr, Client: holder.Client}}, nil
}

// otherKind is the text for a PersistentVolume that is for a keyed image and whose image is
// not, or the other way round; empty if they agree. Such a volume leads nowhere as soon as
// somebody owns the image, or leads there although somebody else does.
func otherKind(volume volumes.Volume, image ceph.Image, record ceph.Record) string {
	var why string
	do := "delete the PersistentVolume and let it be created again"
	switch keyed := image.Key != ""; {
	case keyed && record.Revision == 0:
		why = "the handle has the key " + image.Key + ", and the image has no record to say that it is keyed"
	case keyed && !record.Keyed:
		why = "the handle has the key " + image.Key + ", and the image is not keyed"
	case !keyed && record.Keyed:
		why = "the image is keyed, and the handle has no key"
		do = "run `kubectl cephferry rekey " + volume.Namespace + "/" + volume.Claim + "` in this cluster"
	default:
		return ""
	}
	return fmt.Sprintf("%s cannot be used by PersistentVolume %s: %s\n"+
		"  do this   %s; nothing was changed", describe(volume, image.ImageSpec), volume.PV.Name, why, do)
}

// noName is the text for an image that cannot get this cluster's name.
func noName(volume volumes.Volume, image ceph.ImageSpec, cannot *imagename.Refusal) string {
	return fmt.Sprintf("%s cannot be used here: %s\n  do this   %s; no pod was started", describe(volume, image), cannot.What, cannot.Do)
}
