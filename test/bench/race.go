package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// contender is something that is measured.
type contender struct {
	name string
	// rounds is how often it has its turn, perTurn how often it then runs; 0 is 1.
	rounds, perTurn int
	// once runs it once and returns how long that took.
	once func(context.Context) (time.Duration, error)
	// meter reads counters that rise while it runs; nil if there are none.
	meter func(context.Context) (counters, error)

	times []time.Duration
	// spent is what the counters rose by during its turns.
	spent counters
}

// race runs the contenders turn by turn, so that a busy moment of the machine
// hits all of them.
func race(ctx context.Context, contenders []*contender) error {
	for round := range slices.MaxFunc(contenders, func(a, b *contender) int { return a.rounds - b.rounds }).rounds {
		for _, c := range contenders {
			if round >= c.rounds {
				continue
			}
			if err := c.turn(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func (c *contender) turn(ctx context.Context) error {
	read := c.meter
	if read == nil {
		read = func(context.Context) (counters, error) { return counters{}, nil }
	}
	before, err := read(ctx)
	if err != nil {
		return err
	}
	for range max(c.perTurn, 1) {
		elapsed, err := c.once(ctx)
		if err != nil {
			return err
		}
		c.times = append(c.times, elapsed)
	}
	after, err := read(ctx)
	if err != nil {
		return err
	}
	c.spent = c.spent.plus(after.minus(before))
	return nil
}

func (c *contender) median() time.Duration { return c.percentile(50) }

func (c *contender) percentile(p int) time.Duration {
	sorted := slices.Sorted(slices.Values(c.times))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func (c *contender) mean() time.Duration {
	var sum time.Duration
	for _, t := range c.times {
		sum += t
	}
	return sum / time.Duration(len(c.times))
}

// command is a contender's once: the time from the start of the command to the
// end of its output, which goes through a pipe as it does under Helm. stdin is the
// file that it reads, empty for none.
func command(stdin string, argv ...string) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		begin := time.Now()
		err := pipe(ctx, io.Discard, stdin, argv...)
		return time.Since(begin), err
	}
}

func pipe(ctx context.Context, out io.Writer, stdin string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if stdin != "" {
		file, err := os.Open(stdin)
		if err != nil {
			return err
		}
		defer file.Close()
		cmd.Stdin = file
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, copied := io.Copy(out, stdout)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, stderr.String())
	}
	return copied
}

// table prints rows under a header.
func table(out io.Writer, title string, header []string, rows [][]string) {
	fmt.Fprintf(out, "\n%s\n\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug|tabwriter.AlignRight)
	line := func(cells []string) { fmt.Fprintf(w, "\t %s\t\n", strings.Join(cells, "\t ")) }
	line(header)
	fmt.Fprintf(w, "\t%s\n", strings.Repeat("---\t", len(header)))
	for _, row := range rows {
		line(row)
	}
	w.Flush()
}

// medians prints medians and how often the yardstick fits into each.
func medians(out io.Writer, title string, yardstick *contender, contenders []*contender) {
	var rows [][]string
	for _, c := range contenders {
		rows = append(rows, []string{c.name, milliseconds(c.median(), 1), times(c.median(), yardstick.median()), fmt.Sprint(len(c.times))})
	}
	table(out, title, []string{"command", "median", "times " + yardstick.name, "runs"}, rows)
}

func milliseconds(d time.Duration, decimals int) string {
	return fmt.Sprintf("%.*f ms", decimals, d.Seconds()*1000)
}

func times(d, yardstick time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(yardstick))
}
