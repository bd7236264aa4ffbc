package page

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// row is a volume in the table.
type row struct {
	Namespace string `json:"namespace"`
	Claim     string `json:"claim"`
	State     string `json:"state"`
	Owner     string `json:"owner,omitempty"`
	// Here: the owner is this cluster.
	Here    bool       `json:"here,omitempty"`
	Nodes   []string   `json:"nodes,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
	Waiting string     `json:"waiting,omitempty"`
	Image   string     `json:"image,omitempty"`
	// Takeover is who takes the image, while the state is Fencing.
	Takeover string `json:"takeover,omitempty"`
	// Fenced is how many machines are fenced that the image was taken from.
	Fenced int `json:"fenced,omitempty"`
	// Notes are the messages of conditions that somebody may have to act on.
	Notes []note  `json:"notes,omitempty"`
	Last  *change `json:"last,omitempty"`

	words  string // what a search looks at
	fenced []v1alpha1.FencedMachine
}

type note struct {
	Type    string     `json:"type"`
	Message string     `json:"message"`
	Since   *time.Time `json:"since,omitempty"`
}

// change is one of an image's record.
type change struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Cluster string    `json:"cluster"`
	By      string    `json:"by,omitempty"`
	From    string    `json:"from,omitempty"`
}

func newRow(v *v1alpha1.MigratableVolume) row {
	s := &v.Status
	r := row{
		Namespace: v.Namespace, Claim: v.Name, State: string(s.State), Waiting: s.Waiting, Image: s.Image,
		Fenced: len(s.Fenced), fenced: s.Fenced,
	}
	if r.State == "" {
		r.State = string(v1alpha1.VolumeUnknown) // nobody has written its status yet
	}
	if owner := s.Owner; owner != nil {
		r.Owner, r.Here, r.Nodes, r.Since = owner.Name, owner.ThisCluster, owner.Nodes, at(owner.Since)
	}
	if s.Takeover != nil {
		r.Takeover = s.Takeover.Cluster + ", as " + s.Takeover.By + " decided"
	}
	for _, c := range s.Conditions {
		if notable(c) {
			r.Notes = append(r.Notes, note{c.Type, c.Message, at(&c.LastTransitionTime)})
		}
	}
	if n := len(s.History); n > 0 {
		last := newChange(s.History[n-1])
		r.Last = &last
	}
	r.words = strings.ToLower(strings.Join(append([]string{v.Namespace + "/" + v.Name, r.State, r.Owner, r.Image, r.Waiting}, r.Nodes...), "\n"))
	return r
}

func newChange(c v1alpha1.VolumeChange) change {
	return change{At: c.At.UTC(), Event: c.Event, Cluster: c.Cluster, By: c.By, From: c.From}
}

func at(t *metav1.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// moving reports whether something is under way with the volume, or ought to be.
func (r *row) moving() bool {
	return r.Waiting != "" || r.State == string(v1alpha1.VolumeFencing) || len(r.Notes) > 0
}

// shows are what the table can be limited to, by the name that the page has for it.
var shows = map[string]func(*row) bool{
	"all":       func(*row) bool { return true },
	"moving":    (*row).moving,
	"here":      func(r *row) bool { return r.State == string(v1alpha1.VolumeHeld) && r.Here },
	"elsewhere": func(r *row) bool { return r.State == string(v1alpha1.VolumeHeld) && !r.Here },
	"free":      func(r *row) bool { return r.State == string(v1alpha1.VolumeFree) },
	"fenced":    func(r *row) bool { return r.Fenced > 0 },
	"unknown":   func(r *row) bool { return r.State == string(v1alpha1.VolumeUnknown) },
}
