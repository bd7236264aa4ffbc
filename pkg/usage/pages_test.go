package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// paging is an API server with so many PersistentVolumes, or a cache of them. A cache says
// that there are more pages also where there are none, and has no second one.
type paging struct {
	client.Reader
	pvs   int
	cache bool
	fail  int // which list fails, counted from 1
	lists int
	// most is the largest page.
	most int
}

func (p *paging) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	if p.lists++; p.lists == p.fail {
		return errors.New("boom")
	}
	all := (&client.ListOptions{}).ApplyOptions(options)
	from, to := 0, p.pvs
	if all.Continue != "" {
		var err error
		if from, err = strconv.Atoi(all.Continue); err != nil || p.cache {
			return errors.New("continue list option is not supported by the cache")
		}
	}
	if all.Limit > 0 {
		to = min(to, from+int(all.Limit))
	}
	page := list.(*corev1.PersistentVolumeList)
	for i := from; i < to; i++ {
		page.Items = append(page.Items, *pv(fmt.Sprint("pv-", i), "data", fmt.Sprint("image-", i)))
	}
	if to < p.pvs || p.cache {
		page.Continue = fmt.Sprint(to)
	}
	p.most = max(p.most, to-from)
	return nil
}

// TestPages: none of the pages is missing, and none is large; of a cache there is one.
func TestPages(t *testing.T) {
	const many = 2*page + 1
	odd := func(pv *corev1.PersistentVolume) bool {
		return pv.Name == "pv-0" || pv.Name == fmt.Sprint("pv-", many-1)
	}
	for name, test := range map[string]struct {
		from  paging
		lists int
	}{
		"none":             {paging{}, 1},
		"one page":         {paging{pvs: page}, 1},
		"several":          {paging{pvs: many}, 3},
		"a cache":          {paging{pvs: many, cache: true}, 1},
		"the second fails": {paging{pvs: many, fail: 2}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			from := test.from
			now, err := listVolumes(t.Context(), Source{Reader: &from, Cached: from.cache}, odd)
			if from.fail > 0 {
				if err == nil || err.Error() != "list PersistentVolumes: boom" || now != nil {
					t.Errorf("got %v, %v", now, err)
				}
			} else if err != nil || len(now.names) != from.pvs || len(now.handles) != from.pvs {
				t.Errorf("%d names, %d handles, %v", len(now.names), len(now.handles), err)
			}
			if from.lists != test.lists || !from.cache && from.most > page {
				t.Errorf("%d lists, of %d at most", from.lists, from.most)
			}
			if now != nil && from.pvs == many {
				got := []string{now.asked[0].Spec.CSI.VolumeHandle, now.asked[1].Spec.CSI.VolumeHandle}
				if want := []string{"image-0", fmt.Sprint("image-", many-1)}; !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}
