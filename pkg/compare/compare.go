package compare

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Place is where volumes are, as far as one cluster says.
type Place struct {
	ClusterID string
	// Monitors are those of ceph-csi's configuration.
	Monitors []string
	// Pool and RadosNamespace are of RBD.
	Pool, RadosNamespace string
	// Filesystem and SubvolumeGroup are of CephFS.
	Filesystem, SubvolumeGroup string
	// FSID and PoolID are what Ceph says, empty and 0 if it was not asked.
	FSID   string
	PoolID int64
	// Err is why something of this is not known.
	Err error
}

// Class is a StorageClass of ceph-csi's, or one of ours.
type Class struct {
	Name string
	Ours bool
	Place
}

// Volume is what a claim has in a cluster, or would get there.
type Volume struct {
	// PV is empty if the cluster would make it.
	PV string
	Place
	// Image is the name of the image, without a key, or of the subvolume.
	Image string
	// ID is what Ceph says, and Missing that it has no such image. Empty: it was not asked.
	ID      string
	Missing bool
	// Record is how the cluster shows the image's record: who has it, and since when.
	Record string
	// Unguarded: the volume is nobody's to move.
	Unguarded bool
	// Instead is what the claim would get there instead: another, new volume, or none.
	Instead string
	// Err is why that is not known.
	Err error
}

// Side is one cluster.
type Side struct {
	// Name is its context, for people.
	Name, UID string
	// Registered are the uids of the clusters that are registered beside its volumes.
	Registered []string
	Classes    []Class
	Volumes    map[types.NamespacedName]Volume
}

// Verdict is what a finding comes to.
type Verdict string

// The verdicts, the worst last.
const (
	// Same: both clusters mean the same.
	Same Verdict = "same"
	// Note is for a person, and stops nothing.
	Note Verdict = "note"
	// Unknown: it cannot be told.
	Unknown Verdict = "unknown"
	// Differs: a workload that is moved would get another volume, or none.
	Differs Verdict = "differs"
)

// order is how bad a verdict is.
func order(v Verdict) int { return slices.Index([]Verdict{Same, Note, Unknown, Differs}, v) }

// Finding is about one class or one claim.
type Finding struct {
	What    string  `json:"what"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
}

// Worst is the worst verdict.
func Worst(findings []Finding) Verdict {
	worst := Same
	for _, finding := range findings {
		if order(finding.Verdict) > order(worst) {
			worst = finding.Verdict
		}
	}
	return worst
}

// Compare compares the volumes that from has with what to has for the same claims, and the
// classes that both have.
func Compare(from, to Side) []Finding {
	var all []Finding
	switch {
	case from.UID == to.UID:
		return []Finding{{"clusters", Differs, fmt.Sprintf("%s and %s lead to one cluster", from.Name, to.Name)}}
	case slices.Contains(from.Registered, to.UID) || slices.Contains(to.Registered, from.UID):
		all = append(all, Finding{"clusters", Same, "they are registered beside each other, so they share a pool"})
	}
	for _, class := range from.Classes {
		for _, other := range to.Classes {
			if class.Name == other.Name {
				all = append(all, classes(class, other, from, to))
			}
		}
	}
	byName := func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}
	for _, name := range slices.SortedFunc(maps.Keys(from.Volumes), byName) {
		all = append(all, volumes(name, from.Volumes[name], to.Volumes[name], from, to))
	}
	return all
}

func classes(a, b Class, from, to Side) Finding {
	what := "StorageClass " + a.Name
	if a.Ours != b.Ours {
		with, without := from.Name, to.Name
		if b.Ours {
			with, without = without, with
		}
		return Finding{what, Differs, fmt.Sprintf("its volumes are cephferry's in %s and ceph-csi's in %s, where each claim gets a new, empty one", with, without)}
	}
	verdict, detail := places(a.Place, b.Place, from, to)
	return Finding{what, verdict, detail}
}

func volumes(name types.NamespacedName, a, b Volume, from, to Side) Finding {
	what := "claim " + name.String()
	switch {
	case a.Unguarded:
		return Finding{what, Note, fmt.Sprintf("its volume in %s is not guarded, so a move leaves its data behind; kubectl cephferry adopt or export makes it movable", from.Name)}
	case a.Err != nil:
		return Finding{what, Unknown, from.Name + ": " + a.Err.Error()}
	case a.Missing:
		return Finding{what, Unknown, fmt.Sprintf("%s has no image %s, to which its PersistentVolume %s leads", from.Name, a.Image, a.PV)}
	case b.Err != nil:
		return Finding{what, Unknown, to.Name + ": " + b.Err.Error()}
	case b.Instead != "":
		return Finding{what, Differs, to.Name + ": " + b.Instead}
	}
	has := fmt.Sprintf("%s would make its PersistentVolume of", to.Name)
	if b.PV != "" {
		has = fmt.Sprintf("PersistentVolume %s of %s leads to", b.PV, to.Name)
	}
	if a.Image != b.Image {
		return Finding{what, Differs, fmt.Sprintf("%s %s, and the data is in %s", has, b.Image, a.Image)}
	}
	if a.Record != "" && a.Record == b.Record {
		return Finding{what, Same, "both clusters show the same record of image " + a.Image}
	}
	verdict, detail := places(a.Place, b.Place, from, to)
	switch {
	case verdict == Differs:
		detail = fmt.Sprintf("%s another %s: %s", has, a.Image, detail)
	case b.Missing:
		return Finding{what, Differs, fmt.Sprintf("%s %s, and there is no such image: a new, empty one would be made (%s)", has, b.Image, detail)}
	case a.ID != "" && b.ID != "" && a.ID != b.ID:
		return Finding{what, Differs, fmt.Sprintf("%s %s with the id %s, and the data is in the one with the id %s (%s)", has, b.Image, b.ID, a.ID, detail)}
	}
	if b.PV == "" && verdict == Same {
		detail = to.Name + " has no PersistentVolume yet, and would make it of the same " + a.Image + "; " + detail
	}
	return Finding{what, verdict, detail}
}

// places compares where volumes are.
func places(a, b Place, from, to Side) (Verdict, string) {
	if err := cmp.Or(inContext(from.Name, a.Err), inContext(to.Name, b.Err)); err != "" {
		return Unknown, err
	}
	var differs, same, unknown []string
	equal := func(what, here, there string) {
		if here != there {
			differs = append(differs, fmt.Sprintf("%s is %s in %s and %s in %s", what, text(here), from.Name, text(there), to.Name))
		} else if here != "" {
			same = append(same, what+" "+here)
		}
	}
	switch {
	case a.FSID != "" && b.FSID != "":
		equal("fsid", a.FSID, b.FSID)
	case slices.ContainsFunc(a.Monitors, func(m string) bool { return slices.Contains(b.Monitors, m) }):
		same = append(same, "the same Ceph by its monitors")
	default:
		unknown = append(unknown, fmt.Sprintf("no monitor in common (%s in %s, %s in %s): with --direct, the fsid tells whether it is one Ceph",
			strings.Join(a.Monitors, ","), from.Name, strings.Join(b.Monitors, ","), to.Name))
	}
	if rbd, other := a.Pool != "" && a.Filesystem == "", b.Pool != "" && b.Filesystem == ""; rbd != other {
		differs = append(differs, fmt.Sprintf("it is %s in %s and %s in %s", kind(rbd), from.Name, kind(other), to.Name))
	} else {
		equal("pool", a.Pool, b.Pool)
		if a.PoolID != 0 && b.PoolID != 0 {
			equal("pool id", fmt.Sprint(a.PoolID), fmt.Sprint(b.PoolID))
		}
		equal("rados namespace", a.RadosNamespace, b.RadosNamespace)
		equal("file system", a.Filesystem, b.Filesystem)
		equal("subvolume group", a.SubvolumeGroup, b.SubvolumeGroup)
	}
	if a.ClusterID != b.ClusterID {
		same = append(same, fmt.Sprintf("clusterID %s in %s and %s in %s, which may be", a.ClusterID, from.Name, b.ClusterID, to.Name))
	}
	switch {
	case len(differs) > 0:
		return Differs, strings.Join(differs, "; ")
	case len(unknown) > 0:
		return Unknown, strings.Join(unknown, "; ")
	}
	return Same, strings.Join(same, ", ")
}

func inContext(name string, err error) string {
	if err == nil {
		return ""
	}
	return name + ": " + err.Error()
}

func kind(rbd bool) string {
	if rbd {
		return "RBD"
	}
	return "CephFS"
}

func text(value string) string {
	if value == "" {
		return "none"
	}
	return value
}
