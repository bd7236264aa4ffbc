package restore

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/count"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Refusal is why no claim is printed.
type Refusal struct {
	What string
	// Do is the next step.
	Do string
}

func (r *Refusal) Error() string { return r.What + "\n  do this   " + r.Do }

func refuse(do, what string, arguments ...any) *Refusal {
	return &Refusal{fmt.Sprintf(what, arguments...), do}
}

// Wish is what a person asks for.
type Wish struct {
	// From is the name of the cluster that is lost, or its uid.
	From string
	// Claims are those to print; none: all.
	Claims []types.NamespacedName
	// Class is the StorageClass of the claims; empty: the one that leads to the image.
	Class string
	// AccessModes and VolumeMode are those of all claims that are printed.
	AccessModes []corev1.PersistentVolumeAccessMode
	VolumeMode  corev1.PersistentVolumeMode
	// Volumes: the PersistentVolumes as well, for a cluster whose webhook makes none.
	Volumes bool
}

// Class is a StorageClass of this cluster.
type Class struct {
	// Ours: its claims become static pairs.
	Ours bool
	// Class are the settings of its volumes, with its own name.
	storageclass.Class
}

// Space is a pool and a rados namespace in it, with the records that are there.
type Space struct {
	Pool, Namespace string
	// Classes are those that lead there.
	Classes []Class
	Records []ceph.RecordOf
	// Key is this cluster's there, empty if it has none. Features are those of the images, by
	// their names. Both are for PersistentVolumes.
	Key      string
	Features map[string][]string
}

// Here is what there is in the cluster that gets the claims.
type Here struct {
	Self   ceph.Party
	Claims map[types.NamespacedName]bool
	// Grants are the images that each namespace may use besides its own, by the names of the
	// namespaces that there are.
	Grants map[string]func(image string) bool
}

// Claim is one claim to print.
type Claim struct {
	Object *corev1.PersistentVolumeClaim
	// Volume is nil if the webhook makes it.
	Volume *corev1.PersistentVolume
	Image  ceph.ImageSpec
	// Since is what the record says of its owner, for people.
	Since string
}

// Plan is what is printed.
type Plan struct {
	From ceph.Party
	// Claims are by namespace and name.
	Claims []Claim
	// There are the claims that this cluster has already.
	There []types.NamespacedName
	// Before are commands for a person, without which the claims would wait for ever.
	Before []string
	// Free are images that the lost cluster had last and gave up. Their records name no claim.
	Free []ceph.ImageSpec
	// Left are claims that cannot be printed, with the reason.
	Left []string
	// Unread are images whose record cannot be read.
	Unread []string
}

// owned is an image of the lost cluster.
type owned struct {
	ceph.RecordOf
	space *Space
	// classes are those of all spaces that are this one: two clusterIDs may lead there.
	classes []Class
}

func (o owned) claim() types.NamespacedName {
	return types.NamespacedName{Namespace: o.Record.Owner.Namespace, Name: o.Record.Owner.Claim}
}

// Decide says which claims the lost cluster had, and what each is here. A [*Refusal] is for what
// a person has to say first.
func Decide(wish Wish, spaces []Space, here Here) (*Plan, error) {
	plan := &Plan{}
	images, err := plan.find(wish, spaces, here)
	if err != nil {
		return plan, err
	}
	images, err = only(wish, images)
	if err != nil {
		return plan, err
	}
	byClaim := map[types.NamespacedName][]owned{}
	for _, image := range images {
		byClaim[image.claim()] = append(byClaim[image.claim()], image)
	}
	order := func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}
	var open []string
	missing := map[string]bool{}
	for _, name := range slices.SortedFunc(maps.Keys(byClaim), order) {
		switch of := byClaim[name]; {
		case here.Claims[name]:
			plan.There = append(plan.There, name)
		case len(of) > 1:
			plan.leave(name, "the records of two images name it, %s and %s; check which one it had with kubectl cephferry history --image, and write it by hand", of[0].Image, of[1].Image)
		default:
			made, modes := plan.claim(wish, here, of[0], missing)
			if made != nil {
				plan.Claims = append(plan.Claims, *made)
			}
			if modes {
				open = append(open, name.String())
			}
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(missing)) {
		plan.Before = append([]string{"kubectl create namespace " + namespace}, plan.Before...)
	}
	if len(open) > 0 {
		return plan, refuse("name them with --access-mode and --volume-mode, for example ReadWriteOnce and Filesystem; "+
			"where claims differ, name those that are alike as arguments: a raw device that is mounted as Filesystem would be formatted",
			"the records say neither access modes nor volume mode of %s", count.Few(open, 10))
	}
	return plan, nil
}

// find is which cluster is meant, and its images.
func (p *Plan) find(wish Wish, spaces []Space, here Here) ([]owned, error) {
	var images []owned
	others := map[ceph.Party]bool{}
	meant := map[string]ceph.Party{}
	// A token is unique to one write, so a record that is read twice is the same.
	type write struct {
		image ceph.ImageSpec
		token string
	}
	at := map[write]int{}
	for i := range spaces {
		for _, of := range spaces[i].Records {
			if of.Err != nil {
				p.Unread = append(p.Unread, fmt.Sprintf("the record of image %s: %v", of.Image, of.Err))
				continue
			}
			party, free := last(of.Record)
			same := write{of.Image.Base(), of.Record.Token}
			n, again := at[same]
			switch {
			case party.UID == "" || party.UID == here.Self.UID:
			case party.Name != wish.From && party.UID != wish.From:
				others[ceph.Party{Name: party.Name}] = true
			case again && n >= 0:
				images[n].classes = append(images[n].classes, spaces[i].Classes...)
			case again:
			case free:
				meant[party.UID], at[same] = party, -1
				p.Free = append(p.Free, of.Image)
			default:
				meant[party.UID], at[same] = party, len(images)
				images = append(images, owned{of, &spaces[i], slices.Clone(spaces[i].Classes)})
			}
		}
	}
	switch uids := slices.Sorted(maps.Keys(meant)); len(uids) {
	case 1:
		p.From = meant[uids[0]]
		return images, nil
	case 0:
		var names []string
		for party := range others {
			names = append(names, party.Name)
		}
		slices.Sort(names)
		if wish.From == here.Self.Name || wish.From == here.Self.UID {
			return nil, refuse("run this in the cluster that is to have the claims", "cluster %s is this one, and no record names an older one of that name", wish.From)
		}
		return nil, refuse("name one of these clusters with --from, and make sure that this cluster has a StorageClass for each pool of the lost one",
			"no record in the pools of this cluster's StorageClasses names cluster %s; they name %s", wish.From, cmp.Or(strings.Join(names, ", "), "no other cluster"))
	default:
		return nil, refuse("name the one you mean by its uid: --from "+uids[0], "records name several clusters called %s: %s", wish.From, strings.Join(uids, ", "))
	}
}

// last is the cluster that has the image, or had it last before it was given up.
func last(record ceph.Record) (party ceph.Party, free bool) {
	if record.Owner != nil {
		return record.Owner.Party, false
	}
	if n := len(record.History); n > 0 {
		return record.History[n-1].Party, true
	}
	return ceph.Party{}, true
}

// only keeps the claims that a person has named.
func only(wish Wish, images []owned) ([]owned, error) {
	if len(wish.Claims) == 0 {
		return images, nil
	}
	var kept []owned
	found := map[types.NamespacedName]bool{}
	for _, image := range images {
		if slices.Contains(wish.Claims, image.claim()) {
			kept = append(kept, image)
			found[image.claim()] = true
		}
	}
	for _, name := range wish.Claims {
		if !found[name] {
			return nil, refuse("leave the arguments out to see all claims that the records name", "no record of an image of cluster %s names claim %s", wish.From, name)
		}
	}
	return kept, nil
}

func (p *Plan) leave(name types.NamespacedName, format string, arguments ...any) {
	p.Left = append(p.Left, fmt.Sprintf("claim %s: ", name)+fmt.Sprintf(format, arguments...))
}

// claim is the claim of one image; nil if it cannot be printed. noModes: it could, if a
// person had said its modes.
func (p *Plan) claim(wish Wish, here Here, image owned, missing map[string]bool) (made *Claim, noModes bool) {
	name, record := image.claim(), image.Record
	if bad := cmp.Or(strings.Join(validation.IsDNS1123Label(name.Namespace), "; "), strings.Join(validation.IsDNS1123Subdomain(name.Name), "; ")); bad != "" {
		p.leave(name, "the record of image %s names no valid claim: %s", image.Image, bad)
		return nil, false
	}
	if record.ClaimSize == 0 || record.ClaimSize > annotations.MaxSize {
		p.leave(name, "the record of image %s has a size that no claim can have: %d bytes", image.Image, record.ClaimSize)
		return nil, false
	}
	class, why := choose(wish, image)
	if class == nil {
		p.leave(name, "%s", why)
		return nil, false
	}
	object := &corev1.PersistentVolumeClaim{}
	object.APIVersion, object.Kind = "v1", "PersistentVolumeClaim"
	object.Namespace, object.Name = name.Namespace, name.Name
	// The image must exist: whatever is wrong, no empty one is made in its place.
	object.Annotations = map[string]string{annotations.Adopt: "true"}
	object.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(int64(record.ClaimSize), resource.BinarySI)}
	if class.Ours {
		object.Spec.StorageClassName = &class.Name
	} else {
		object.Spec.StorageClassName = new(string)
		object.Annotations[annotations.Migratable] = "true"
		object.Annotations[annotations.Class] = class.Name
	}
	if image.Image.Name != staticpv.ImageName(name.Namespace, name.Name) {
		object.Annotations[annotations.Image] = image.Image.Name
	}
	if _, mistakes := askedOf(object); len(mistakes) > 0 {
		p.leave(name, "%v", mistakes.ToAggregate())
		return nil, false
	}
	if len(wish.AccessModes) == 0 || wish.VolumeMode == "" {
		return nil, true
	}
	object.Spec.AccessModes, object.Spec.VolumeMode = wish.AccessModes, &wish.VolumeMode
	if why := unfit(object, class.Name, record); why != "" {
		p.leave(name, "%s", why)
		return nil, false
	}
	made = &Claim{Object: object, Image: image.Image, Since: record.Owner.Since.UTC().Format("2006-01-02 15:04:05Z")}
	if wish.Volumes {
		if made.Volume, why = volume(object, *class, image); why != "" {
			p.leave(name, "%s", why)
			return nil, false
		}
	}
	p.before(here, name.Namespace, image.Image.Name, missing)
	return made, false
}

// volume is the PersistentVolume of a claim, which is then bound to it by name, or why there is
// none.
func volume(claim *corev1.PersistentVolumeClaim, class Class, image owned) (*corev1.PersistentVolume, string) {
	record := image.Record
	features, there := image.space.Features[image.Image.Name]
	switch {
	case !there:
		return nil, fmt.Sprintf("image %s is gone, or cannot be looked at", image.Image)
	case record.Keyed && image.space.Key == "":
		return nil, fmt.Sprintf("image %s carries its owner's name, and this cluster has no key in that pool yet; start its webhook, with a volume or a StorageClass there", image.Image)
	}
	asked, errs := askedOf(claim)
	plans, more := staticpv.Plans(staticpv.Input{Claim: claim, Namespace: claim.Namespace, Asked: asked, Class: class.Class}, staticpv.NamesOf(claim.Namespace, claim.Name, asked))
	if errs = append(errs, more...); len(errs) > 0 {
		return nil, errs.ToAggregate().Error()
	}
	made := staticpv.Made{
		Size: claim.Spec.Resources.Requests[corev1.ResourceStorage], Features: features, Door: staticpv.ByClaim,
		Exclusive: record.Exclusive, Private: record.Private,
	}
	if record.Keyed {
		made.Key = image.space.Key
	}
	if class.Ours {
		plans[0].StorageClassName, made.Door = class.Name, staticpv.ByClass
	}
	pv := plans[0].PV(made)
	claim.Spec.VolumeName = pv.Name
	return pv, ""
}

// askedOf is what a claim asks for, by either door, and the mistakes in it.
func askedOf(claim *corev1.PersistentVolumeClaim) (annotations.Claim, field.ErrorList) {
	all := maps.Clone(claim.Annotations)
	all[annotations.Migratable] = "true"
	return annotations.Parse(all, annotations.OnClaim, field.NewPath("metadata", "annotations"))
}

// unfit is why the modes that a person has named are none for this image.
func unfit(claim *corev1.PersistentVolumeClaim, class string, record ceph.Record) string {
	errs := append(claims.Refuse(claim, nil), claims.RefuseOnRBD(claim, class, nil)...)
	if len(errs) > 0 {
		return errs.ToAggregate().Error()
	}
	if record.Exclusive && (!claims.SingleWriter(claim.Spec.AccessModes) || slices.Contains(claim.Spec.AccessModes, corev1.ReadOnlyMany)) {
		return "its record says that one node at a time maps the image, so its access mode was ReadWriteOnce or ReadWriteOncePod"
	}
	return ""
}

// before adds what a namespace lacks for the image.
func (p *Plan) before(here Here, namespace, image string, missing map[string]bool) {
	granted, there := here.Grants[namespace]
	if !there {
		missing[namespace] = true
	}
	if !strings.HasPrefix(image, namespace+".") && (!there || !granted(image)) {
		p.Before = append(p.Before, fmt.Sprintf("grant image %s to namespace %s: its annotation cephferry.io/images has to name it (docs/provisioner.md)", image, namespace))
	}
}

// choose is the class of a claim, or why there is none.
func choose(wish Wish, image owned) (*Class, string) {
	where := "pool " + image.Image.Pool
	if image.Image.Namespace != "" {
		where += ", rados namespace " + image.Image.Namespace
	}
	var ours, all []*Class
	var names []string
	for i := range image.classes {
		class := &image.classes[i]
		if class.Name == wish.Class {
			return class, ""
		}
		if class.Ours {
			ours = append(ours, class)
		}
		all, names = append(all, class), append(names, class.Name)
	}
	slices.Sort(names)
	switch {
	case wish.Class != "":
		return nil, fmt.Sprintf("StorageClass %s does not lead to its image (%s); these do: %s", wish.Class, where, strings.Join(names, ", "))
	case len(ours) == 1:
		return ours[0], ""
	case len(ours) == 0 && len(all) == 1:
		return all[0], ""
	}
	return nil, fmt.Sprintf("several StorageClasses lead to its image (%s); name the one you mean with --class: %s", where, strings.Join(names, ", "))
}
