package provision

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Used is an image that a cluster has used, and none does now.
type Used struct {
	// Name is the base name.
	Name string
	// ClaimSize is in bytes.
	ClaimSize uint64
}

// UsedAndFree are those of the images that have these records. An image that nobody ever owned
// is empty.
func UsedAndFree(records []ceph.RecordOf) []Used {
	var all []Used
	for _, of := range records {
		if of.Err == nil && of.Record.State == ceph.Free && of.Record.Epoch > 0 {
			all = append(all, Used{of.Image.Name, of.Record.ClaimSize})
		}
	}
	return all
}

// Similar are the images that may have been meant where a new one was made for the plan: a
// release or a StatefulSet has got another name, and with it the claim. Nothing but names and
// sizes tells, so nothing is refused for it. They are of the same namespace, whose names are
// no secret to it, were used with a claim of the same size, and differ in the middle of the
// name, where releases stand:
//
//	shop.web-files      for claim store-files
//	shop.data-web-0     for claim data-store-0
func Similar(plan staticpv.Plan, all []Used) []string {
	if plan.Class.RBD == nil {
		return nil
	}
	var names []string
	for _, image := range all {
		claim, ours := strings.CutPrefix(image.Name, plan.Namespace+".")
		if ours && image.Name != plan.Image && image.ClaimSize == uint64(plan.Request.Value()) && alike(claim, plan.Claim) {
			names = append(names, image.Name)
		}
	}
	return names
}

// alike reports whether two names of claims have the same ordinal or none, and another part at
// the beginning or at the end in common.
func alike(a, b string) bool {
	first, ordinal := parts(a)
	second, other := parts(b)
	if ordinal != other || len(first) == 0 || len(second) == 0 {
		return false
	}
	return first[0] == second[0] || first[len(first)-1] == second[len(second)-1]
}

// parts are those of a claim's name between '-' and '.', and its ordinal.
func parts(claim string) (parts []string, ordinal string) {
	parts = strings.FieldsFunc(claim, func(r rune) bool { return r == '-' || r == '.' })
	if last := len(parts) - 1; last > 0 && strings.Trim(parts[last], "0123456789") == "" {
		return parts[:last], parts[last]
	}
	return parts, ""
}

// mostSimilar is how many images are named to people.
const mostSimilar = 5

// SaySimilar says which images may have been meant, and what to write; empty for none.
func SaySimilar(plan staticpv.Plan, names []string) string {
	if len(names) == 0 {
		return ""
	}
	listed := strings.Join(names[:min(len(names), mostSimilar)], ", ")
	if more := len(names) - mostSimilar; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	image, where := names[0], "with the annotations"
	if _, ordinal := parts(plan.Claim); ordinal != "" {
		image, where = strings.TrimSuffix(image, "-"+ordinal), "from a claim template with the annotations"
	}
	return fmt.Sprintf("image %s is new and empty; there are images of the same size that look like it, were used before and are free now: %s; if one of them is meant, delete this claim, and make it again %s %s: %s and %s: \"true\"",
		plan.Image, listed, where, annotations.Image, image, annotations.Adopt)
}
