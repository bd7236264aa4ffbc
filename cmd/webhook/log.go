package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// logLevels are what --log-level may say, and logFormats what --log-format may.
var (
	logLevels  = map[string]zapcore.Level{"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "error": zapcore.ErrorLevel}
	logFormats = map[string]func(...zap.EncoderConfigOption) func(*zap.Options){"json": zap.JSONEncoder, "text": zap.ConsoleEncoder}
)

func checkLog(level, format string) error {
	if _, ok := logLevels[level]; !ok {
		return fmt.Errorf("--log-level %s: must be debug, info or error", level)
	}
	if _, ok := logFormats[format]; !ok {
		return fmt.Errorf("--log-format %s: must be json or text", format)
	}
	return nil
}

// newLogger returns a logger whose times are in RFC 3339, as those in Kubernetes' own logs are.
func newLogger(level, format string, to io.Writer) logr.Logger {
	encoder := func(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.RFC3339TimeEncoder }
	log := zap.New(zap.WriteTo(to), zap.Level(logLevels[level]), logFormats[format](encoder))
	return logr.New(deferred{LogSink: log.GetSink()})
}

// deferred gives values to the sink with the line that has them. zap encodes them as soon as a
// logger gets them, and takes some KiB for that. Each reconciliation of a controller has a
// logger of its own, and hardly any writes a line.
type deferred struct {
	logr.LogSink
	values []any
}

func (d deferred) WithName(name string) logr.LogSink {
	return deferred{d.LogSink.WithName(name), d.values}
}

func (d deferred) WithValues(values ...any) logr.LogSink {
	return deferred{d.LogSink, slices.Concat(d.values, values)}
}

// WithCallDepth lets whoever wraps the sink say how many callers stand between.
func (d deferred) WithCallDepth(depth int) logr.LogSink {
	if sink, ok := d.LogSink.(logr.CallDepthLogSink); ok {
		return deferred{sink.WithCallDepth(depth), d.values}
	}
	return d
}

func (d deferred) Info(level int, message string, values ...any) {
	d.LogSink.Info(level, message, slices.Concat(d.values, values)...)
}

func (d deferred) Error(err error, message string, values ...any) {
	d.LogSink.Error(err, message, slices.Concat(d.values, values)...)
}
