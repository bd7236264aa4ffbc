package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// replay carries the steps of a trace out with the code that the programs run, on an
// in-memory Ceph, and compares what is stored after each of them with the model.
type replay struct {
	*Model
	ctx     context.Context
	memory  *cephtest.Ceph
	storage ceph.Cluster
	image   ceph.Image
	// now is the state before the step that is carried out.
	now state

	// reviews are the admissions that have looked, takings those that wait for the
	// pod's other volume.
	reviews [maxClusters][maxPods]*ownership.Target
	takings [maxClusters][maxPods]*taking
	// proofs are the records that releases are proven about.
	proofs  [maxClusters]ceph.Record
	takers  [maxPersons]*taker
	uids    [maxClusters][maxPods]string
	clients [maxNodes]string
	// nodeOf has every client instance that there was.
	nodeOf map[string]int
	names  int
	// boots is how often each node has booted.
	boots [maxNodes]int
}

func newReplay(ctx context.Context, m *Model) (*replay, error) {
	memory := cephtest.New(cephtest.Pool{Name: imageSpec.Pool, Images: []cephtest.Image{{Name: imageSpec.Name}, {Name: other.Name}}})
	storage, err := memory.Dial(ctx, cephtest.Operator)
	if err != nil {
		return nil, err
	}
	image, err := storage.Image(ctx, imageSpec)
	if err != nil {
		return nil, err
	}
	r := &replay{Model: m, ctx: ctx, memory: memory, storage: storage, image: image, now: m.initial(), nodeOf: map[string]int{}}
	for n := range m.Nodes {
		r.clients[n] = m.instance(n, false, false)
		r.nodeOf[r.clients[n]] = n
	}
	return r, nil
}

func (r *replay) uid(c, p int) string { return r.uids[c][p] }

// instance is the one that was mapped last: of those that are dead, only that may still
// be watched.
func (r *replay) instance(n int, _, _ bool) string { return r.clients[n] }

func (r *replay) boot(n int, former bool) string {
	if former {
		return fmt.Sprintf("boot %d of %s", r.boots[n]-1, r.name(n))
	}
	return fmt.Sprintf("boot %d of %s", r.boots[n], r.name(n))
}

// step carries one step out, after which the state is next.
func (r *replay) step(by Step, next state) error {
	r.watch(next)
	if err := r.act(by, next); err != nil {
		return err
	}
	if err := r.losers(by, next); err != nil {
		return err
	}
	r.now = next
	stored, err := ownership.Read(r.ctx, r.storage, r.image)
	if err != nil {
		return err
	}
	if len(stored.History) == keptHistory {
		return errForgets
	}
	if got, want := r.abstract(stored), r.records.all[next.record].Encode(); !slices.Equal(got, want) {
		return fmt.Errorf("stored %s, want %s", got, want)
	}
	return r.verdicts(stored, next)
}

func (r *replay) act(by Step, next state) error {
	c, p := int(by.A), int(by.B)
	switch by.Kind {
	case look, lookNamed:
		r.names++
		r.uids[c][p] = fmt.Sprintf("pod-%d", r.names)
		target, err := r.target(c, p, next.pods[c][p].node, true)
		r.reviews[c][p] = target
		return err
	case listEarly:
		r.names++
		r.uids[c][p] = fmt.Sprintf("pod-%d", r.names)
	case readAfter:
		target, err := r.target(c, p, next.pods[c][p].node, true)
		r.reviews[c][p] = target
		return err
	case admit:
		target := r.reviews[c][p]
		r.reviews[c][p] = nil
		if r.Volumes {
			return r.take(c, p, target)
		}
		_, _, err := ownership.AcquireAll(r.ctx, []ownership.Target{*target})
		return err
	case takeOthers, storePod:
		return r.taken(c, p, nil)
	case failRequest, undo:
		return r.taken(c, p, errOther)
	case admitBinding:
		target, err := r.target(c, p, next.pods[c][p].node, false)
		if err == nil {
			_, _, err = ownership.AcquireAll(r.ctx, []ownership.Target{*target})
		}
		return err
	case reboot:
		r.boots[by.A]++
	case mapNode:
		r.names++
		r.clients[by.A] = fmt.Sprintf("%s:0/%d", r.address(int(by.A)), 1000+r.names)
		r.nodeOf[r.clients[by.A]] = int(by.A)
		r.watch(next)
	case refresh:
		return r.lead(c, nil, ownership.Refresh, ownership.Adopt)
	case leaderPods:
		stored, err := ownership.Read(r.ctx, r.storage, r.image)
		r.proofs[c] = stored
		return err
	case release:
		return r.lead(c, &r.proofs[c], ownership.LetGo)
	case beginFence, walkAway, verifyFence, finishFence, dropFence:
		return r.person(by, next)
	case unfence:
		return r.storage.Unblocklist(r.ctx, []string{machine(r.address(int(by.A)))})
	}
	return nil
}

// target is what the guard acquires by.
func (r *replay) target(c, p int, node uint8, creation bool) (*ownership.Target, error) {
	target := &ownership.Target{Records: r.storage, Request: request(c)}
	if creation {
		target.Request.Pod = r.uids[c][p]
		if node == 0 {
			target.Request.Unbound = []string{r.uids[c][p]}
		}
	}
	if node != 0 {
		target.Request.Nodes = []ceph.Node{r.object(int(node)-1, r.now.nodes[node-1].stale, r)}
	}
	target.Look = func(ctx context.Context) (ceph.Image, ceph.Record, error) {
		stored, err := ownership.Read(ctx, r.storage, r.image)
		if err != nil {
			return ceph.Image{}, ceph.Record{}, err
		}
		watchers, err := r.storage.Watchers(ctx, imageSpec)
		if err != nil {
			return ceph.Image{}, ceph.Record{}, err
		}
		if creation && !guard.Decide(watchers, stored, party(c), r.local(r.now, c)).Allowed {
			return ceph.Image{}, ceph.Record{}, errForeign
		}
		return r.image, stored, nil
	}
	var err error
	target.Image, target.Seen, err = target.Look(r.ctx)
	return target, err
}

// keptHistory is how many changes a record keeps. When the one goes by which a cluster
// lost the image, its leader would adopt the image once it is free; the model's would
// not. Two writers do not come of that.
const keptHistory = 10

var errForgets = errors.New("the history is full")

var errForeign = errors.New("a foreign watcher")

// lead is a leader's write, about the record as it is, or as it was when the proof of
// a release began.
func (r *replay) lead(c int, proven *ceph.Record, want ...ownership.Step) error {
	x := sight{}
	stored, err := ownership.Read(r.ctx, r.storage, r.image)
	if err != nil {
		return err
	}
	if proven != nil {
		stored = *proven
	} else {
		x = r.sees(r.now, c)
	}
	x.quiet = r.now.leaders[c].quiet == waited
	next, step, reason := ownership.Keep(stored, request(c), r.seen(c, x, r))
	if !slices.Contains(want, step) {
		return fmt.Errorf("the leader would %s, because %s; want %s", step, reason, want)
	}
	_, err = r.storage.PutRecord(r.ctx, r.image, next)
	return err
}

// losers are those who had read the record before this step changed it: none of them
// gets anywhere.
func (r *replay) losers(by Step, next state) error {
	if r.now.record == next.record {
		return nil
	}
	for c := range r.clusters {
		for p := range r.Pods {
			target := r.reviews[c][p]
			if target == nil || next.pods[c][p].phase == looked {
				continue
			}
			r.reviews[c][p] = nil
			allowed := !r.refuses(next.record, c, p) && r.Model.verdict(next, c).Allowed
			if allowed {
				continue // it would acquire now, like a request that comes later
			}
			if _, _, err := ownership.AcquireAll(r.ctx, []ownership.Target{*target}); err == nil {
				return fmt.Errorf("%s admitted a pod by a record that has changed", clusterNames[c])
			}
		}
		if r.now.leaders[c].proof > 0 && next.leaders[c].proof == 0 && !(by.Kind == release && int(by.A) == c) {
			written, _, _ := ownership.Keep(r.proofs[c], request(c), r.seen(c, sight{quiet: true}, r))
			if _, err := r.storage.PutRecord(r.ctx, r.image, written); !errors.Is(err, ceph.ErrRecordChanged) {
				return fmt.Errorf("%s released by a record that has changed: %w", clusterNames[c], err)
			}
		}
	}
	return r.overtaken(by, next)
}

// verdicts compares what every cluster would answer to another pod.
func (r *replay) verdicts(stored ceph.Record, s state) error {
	watchers, err := r.storage.Watchers(r.ctx, imageSpec)
	if err != nil {
		return err
	}
	for c := range r.clusters {
		_, err := ownership.Acquire(stored, request(c))
		got := err == nil && guard.Decide(watchers, stored, party(c), r.local(s, c)).Allowed
		want := !r.refuses(s.record, c, 0) && r.Model.verdict(s, c).Allowed
		if got != want {
			return fmt.Errorf("%s would admit a pod: %v, want %v", clusterNames[c], got, want)
		}
	}
	return nil
}

// watch makes the watchers those of the state.
func (r *replay) watch(s state) {
	present, _ := r.storage.Watchers(r.ctx, imageSpec)
	for _, watcher := range present {
		r.memory.RemoveWatcher(imageSpec, watcher)
	}
	for n := range r.Nodes {
		if s.nodes[n].watch == registered {
			r.memory.AddWatcher(imageSpec, ceph.Watcher{Addr: s.watching(n, r), Client: "client." + r.name(n), Cookie: 1})
		}
	}
}

// abstract is the stored record in the words of the model.
func (r *replay) abstract(stored ceph.Record) []byte {
	pods, clients := map[string]string{}, map[string]string{}
	for c := range r.clusters {
		for p := range r.Pods {
			if r.now.pods[c][p].phase != noPod {
				pods[r.uids[c][p]] = r.Model.uid(c, p)
			}
		}
	}
	pods[ownership.Awaited] = ownership.Awaited
	for client, n := range r.nodeOf {
		clients[client] = r.Model.instance(n, true, false)
	}
	for n := range r.Nodes {
		if r.now.nodes[n].mount == mapped {
			clients[r.clients[n]] = r.Model.instance(n, false, false)
		}
	}
	called := func(names []string, in map[string]string, or string) []string {
		all := slices.Clone(names)
		for i, name := range all {
			all[i] = cmp.Or(in[name], or)
		}
		return all
	}
	stored.Pending, stored.Unbound = called(stored.Pending, pods, formerPod), called(stored.Unbound, pods, formerPod)
	if stored.Owner != nil {
		owner := *stored.Owner
		owner.Clients, owner.Nodes = called(owner.Clients, clients, ""), slices.Clone(owner.Nodes)
		for i := range owner.Nodes {
			node := &owner.Nodes[i]
			node.Clients = called(node.Clients, clients, "")
			for n := range r.Nodes {
				if node.Name == r.name(n) {
					node.BootID = r.Model.boot(n, node.BootID != r.boot(n, false))
				}
			}
		}
		stored.Owner = &owner
	}
	return canonical(stored).Encode()
}
