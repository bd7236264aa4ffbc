package postrender_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

var documents = flag.Int("documents", 300, "how many documents TestGenerated makes and renders")

// TestGenerated renders streams that nobody would write, and some would: anchors, aliases
// and merge keys of any depth and position, in every style, with comments between. What
// must hold for them is in checkRender and checkForCluster.
func TestGenerated(t *testing.T) {
	classes, err := goldenClasses(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, rendered := 0, 0
	for seed := uint64(0); made < *documents; seed++ {
		g := generator{random: rand.New(rand.NewPCG(seed, 0))}
		stream := g.stream()
		made += g.documents
		if checkForCluster(t, []byte(stream)) {
			rendered += g.documents
		}
		if seed%4 == 0 {
			checkRender(t, classes, []byte(stream))
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, stream)
		}
	}
	t.Logf("%d documents, %d of them rendered", made, rendered)
	if rendered < made/2 {
		t.Errorf("only %d of %d documents were rendered: the others prove little", rendered, made)
	}
}

// FuzzGenerated lets the fuzzer choose the seeds.
func FuzzGenerated(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		g := generator{random: rand.New(rand.NewPCG(a, b))}
		checkForCluster(t, []byte(g.stream()))
	})
}

// generator writes streams of manifests. Values are fields, list or text.
type generator struct {
	random    *rand.Rand
	documents int
	// mappings and scalars are the anchors of the document so far.
	mappings []string
	scalars  map[string]string
	anchors  int
}

type (
	field struct {
		key   string
		value any
	}
	fields []field
	list   []any
)

func (g *generator) chance(percent int) bool { return g.random.IntN(100) < percent }

func pick[T any](g *generator, of ...T) T { return of[g.random.IntN(len(of))] }

func (g *generator) stream() string {
	var out strings.Builder
	for range 1 + g.random.IntN(3) {
		g.documents++
		g.mappings, g.scalars = nil, map[string]string{}
		out.WriteString("---\n")
		if g.chance(50) {
			out.WriteString("# Source: shop/templates/x.yaml\n")
		}
		out.WriteString(g.block(g.object(), 0))
	}
	stream := out.String()
	if g.chance(15) {
		stream = strings.TrimSuffix(stream, "\n")
	}
	if g.chance(15) {
		stream = strings.ReplaceAll(stream, "\n", "\r\n")
	}
	return stream
}

func (g *generator) object() fields {
	switch g.random.IntN(6) {
	case 0:
		return fields{{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", fields{{"name", "c"}, {"annotations", fields{{"note", "see cephferry.io"}}}}}, {"data", g.noise(3)}}
	case 1, 2:
		return g.claim("v1", "PersistentVolumeClaim")
	case 3:
		return g.set()
	case 4:
		return fields{{"apiVersion", "db.example.com/v1"}, {"kind", "Database"}, {"metadata", fields{{"name", "d"}}},
			{"spec", fields{{"extra", g.noise(2)}, {"storage", fields{{"volumeClaimTemplate", g.claim("", "")}}}, {"more", g.noise(2)}}}}
	default:
		items := list{}
		for range 1 + g.random.IntN(3) {
			items = append(items, pick(g, g.claim("v1", "PersistentVolumeClaim"), g.set(), fields{{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"data", g.noise(3)}}))
		}
		return fields{{"apiVersion", "v1"}, {"kind", "List"}, {"items", items}}
	}
}

func (g *generator) set() fields {
	templates := list{}
	for range 1 + g.random.IntN(2) {
		templates = append(templates, g.claim("", ""))
	}
	return g.shuffle(fields{{"apiVersion", "apps/v1"}, {"kind", "StatefulSet"}, {"metadata", fields{{"name", "s" + strconv.Itoa(g.random.IntN(1000))}}},
		{"spec", g.shuffle(fields{{"template", fields{{"metadata", fields{{"labels", g.texts()}, {"annotations", g.texts()}}}, {"spec", g.noise(2)}}}, {"volumeClaimTemplates", templates}})}})
}

func (g *generator) claim(apiVersion, kind string) fields {
	annotations := fields{}
	if g.chance(85) {
		annotations = append(annotations, field{"cephferry.io/migratable", "true"})
	}
	if g.chance(20) {
		annotations = append(annotations, field{"volume.beta.kubernetes.io/storage-class", "ceph-block"})
	}
	for i := range g.random.IntN(3) {
		annotations = append(annotations, field{fmt.Sprintf("note%d", i), g.text()})
	}
	spec := fields{{"accessModes", list{"ReadWriteOnce"}}, {"resources", fields{{"requests", fields{{"storage", "1Gi"}}}}}}
	if g.chance(60) {
		spec = append(spec, field{"storageClassName", "ceph-block"})
	}
	metadata := fields{{"name", "n" + strconv.Itoa(g.random.IntN(100000))}, {"annotations", g.shuffle(annotations)}}
	if g.chance(40) {
		metadata = append(metadata, field{"labels", g.texts()})
	}
	claim := fields{{"metadata", g.shuffle(metadata)}, {"spec", g.shuffle(spec)}}
	if kind != "" {
		claim = append(claim, field{"apiVersion", apiVersion}, field{"kind", kind})
	}
	return g.shuffle(claim)
}

func (g *generator) shuffle(all fields) fields {
	g.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// texts are a few fields with texts, of a few names, so that merges override.
func (g *generator) texts() fields {
	var all fields
	for _, key := range []string{"app", "tier", "host", "limit"} {
		if g.chance(50) {
			all = append(all, field{key, g.text()})
		}
	}
	return append(all, field{"last", "x"})
}

func (g *generator) noise(depth int) fields {
	all := g.texts()
	if depth > 0 {
		all = append(all, field{"inner", g.noise(depth - 1)}, field{"items", list{g.text(), g.noise(depth - 1)}})
	}
	return g.shuffle(all)
}

func (g *generator) text() string {
	return pick(g, "shop", "yes", "0644", "1e3", "", "a: b", "# no comment", "line1\nline2", "line1\n  line2\n\nend\n", "trailing  \n\ttab\n", "~", "grüße", "it's", `back\slash`, "2024-01-31", " lead", "x{}[],&*", "8Gi")
}

// anchor gives a value a name with some chance.
func (g *generator) anchor() string {
	if !g.chance(15) {
		return ""
	}
	g.anchors++
	return fmt.Sprintf("a%d", g.anchors)
}

// block writes fields as a block, each line with the margin.
func (g *generator) block(all fields, margin int) string {
	space := strings.Repeat(" ", margin)
	merge := -1
	if len(g.mappings) > 0 && g.chance(20) {
		merge = g.random.IntN(len(all) + 1)
	}
	var out strings.Builder
	for i := 0; i <= len(all); i++ {
		if i == merge {
			out.WriteString(space + "<<: " + g.merged() + "\n")
		}
		if i == len(all) {
			break
		}
		if g.chance(8) {
			out.WriteString(pick(g, space+"# comment\n", "\n"))
		}
		out.WriteString(space + g.key(all[i].key) + ":" + g.behind(all[i].value, margin))
	}
	return out.String()
}

func (g *generator) merged() string {
	if g.chance(25) {
		return "[*" + pick(g, g.mappings...) + ", *" + pick(g, g.mappings...) + "]"
	}
	return "*" + pick(g, g.mappings...)
}

func (g *generator) key(key string) string {
	if g.chance(8) {
		return `"` + key + `"`
	}
	return key
}

// behind writes a value behind a key, or behind the dash of an item, up to the line end.
func (g *generator) behind(value any, margin int) string {
	switch value := value.(type) {
	case fields:
		if len(value) == 0 {
			return " {}\n"
		}
		if len(g.mappings) > 0 && g.chance(3) {
			return " *" + pick(g, g.mappings...) + "\n"
		}
		name := g.anchor()
		text := ""
		if name != "" {
			text = " &" + name
		}
		if g.chance(15) && !strings.Contains(fmt.Sprint(value), "\n") {
			text += " " + g.flow(value) + pick(g, "", " # end") + "\n"
		} else {
			text += "\n" + g.block(value, margin+2)
		}
		if name != "" {
			g.mappings = append(g.mappings, name)
		}
		return text
	case list:
		if g.chance(10) && !strings.Contains(fmt.Sprint(value), "\n") {
			return " " + g.flow(value) + "\n"
		}
		var out strings.Builder
		out.WriteString("\n")
		indent := margin + pick(g, 0, 2)
		space := strings.Repeat(" ", indent)
		for _, item := range value {
			if of, ok := item.(fields); ok && len(of) > 0 && g.chance(80) {
				lines := g.block(of, indent+2)
				if first := strings.TrimLeft(lines, " "); strings.HasPrefix(lines, space+"  ") && first[0] != '#' {
					out.WriteString(space + "- " + first)
					continue
				}
				out.WriteString(space + "-\n" + lines)
				continue
			}
			out.WriteString(space + "-" + g.behind(item, indent))
		}
		return out.String()
	}
	return g.scalar(value.(string), margin)
}

func (g *generator) scalar(value string, margin int) string {
	if name, ok := g.scalars[value]; ok && g.chance(30) {
		return " *" + name + "\n"
	}
	prefix := " "
	if name := g.anchor(); name != "" {
		prefix, g.scalars[value] = " &"+name+" ", name
	}
	if strings.Contains(value, "\n") && g.chance(80) {
		space, chomp := "\n"+strings.Repeat(" ", margin+2), "-"
		if strings.HasSuffix(value, "\n") {
			value, chomp = strings.TrimSuffix(value, "\n"), pick(g, "", "+")
		}
		return prefix + "|" + chomp + space + strings.ReplaceAll(value, "\n", space) + "\n"
	}
	return prefix + g.inline(value) + pick(g, "", "", " # behind") + "\n"
}

// inline writes a text in one line.
func (g *generator) inline(value string) string {
	plain := value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-/.0123456789") == "" && value[0] > '9'
	switch {
	case plain && value != "yes" && value != "true" && g.chance(80):
		return value
	case !strings.ContainsAny(value, "\n\t") && g.chance(40):
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return strconv.Quote(value)
}

func (g *generator) flow(value any) string {
	var texts []string
	switch value := value.(type) {
	case fields:
		for _, f := range value {
			texts = append(texts, g.key(f.key)+": "+g.flow(f.value))
		}
		return "{" + strings.Join(texts, ", ") + "}"
	case list:
		for _, item := range value {
			texts = append(texts, g.flow(item))
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	return g.inline(value.(string))
}
