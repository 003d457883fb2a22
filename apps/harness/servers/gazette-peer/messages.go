package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pkg/errors"
	"go.gazette.dev/core/broker/client"
	pb "go.gazette.dev/core/broker/protocol"
	"go.gazette.dev/core/labels"
	"go.gazette.dev/core/message"
	"google.golang.org/protobuf/encoding/protowire"
)

// document is a message of any content: see the comment of main.go.
type document struct {
	id     message.UUID
	fields map[string]json.RawMessage
}

func (d *document) GetUUID() message.UUID                         { return d.id }
func (d *document) SetUUID(id message.UUID)                       { d.id = id }
func (d *document) NewAcknowledgement(pb.Journal) message.Message { return new(document) }

func (d *document) MarshalJSON() ([]byte, error) {
	var all = map[string]any{"uuid": d.id.String()}
	for name, value := range d.fields {
		all[name] = value
	}
	return json.Marshal(all) // sorted by name
}

func (d *document) UnmarshalJSON(b []byte) error {
	d.fields = nil
	if err := json.Unmarshal(b, &d.fields); err != nil {
		return err
	}
	var raw, ok = d.fields["uuid"]
	if !ok {
		return nil // outside of transactions, as Gazette takes it
	}
	delete(d.fields, "uuid")
	return json.Unmarshal(raw, &d.id)
}

func (d *document) body() []byte {
	var b, err = json.Marshal(d.fields)
	if err != nil {
		panic(err) // raw JSON that was parsed before
	}
	return b
}

func (d *document) ProtoSize() int {
	return 2 + protowire.SizeBytes(len(d.id)) + protowire.SizeBytes(len(d.body()))
}

func (d *document) MarshalTo(out []byte) (int, error) {
	var b = protowire.AppendTag(out[:0], 1, protowire.BytesType)
	b = protowire.AppendBytes(b, d.id[:])
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendBytes(b, d.body())
	return len(b), nil
}

func (d *document) Unmarshal(b []byte) error {
	*d = document{}
	for len(b) != 0 {
		var field, kind, n = protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			return fmt.Errorf("field %d of a document is of wire type %d", field, kind)
		}
		var value, m = protowire.ConsumeBytes(b)
		if m < 0 {
			return protowire.ParseError(m)
		}
		b = b[m:]
		switch field {
		case 1:
			copy(d.id[:], value)
		case 2:
			if err := json.Unmarshal(value, &d.fields); err != nil {
				return err
			}
		}
	}
	return nil
}

var _ message.ProtoFrameable = (*document)(nil)

func newDocument(*pb.JournalSpec) (message.Message, error) { return new(document), nil }

func runPublish(ctx context.Context, args []string) error {
	var set, dial = newFlags("publish")
	var script string
	var start uint64
	set.StringVar(&script, "script", "", "default: stdin")
	set.Uint64Var(&start, "clock", 0, "default: the time of day")
	_ = set.Parse(args)

	var in = os.Stdin
	if script != "" {
		var err error
		if in, err = os.Open(script); err != nil {
			return err
		}
	}
	var rjc = dial.dial(ctx)
	var service = client.NewAppendService(ctx, rjc)
	var clock *message.Clock
	if start != 0 {
		clock = new(message.Clock)
		*clock = message.Clock(start)
	}
	var publisher = message.NewPublisher(service, clock)
	var contentTypes = map[string]string{}
	var told []map[string]any

	var scanner = bufio.NewScanner(in)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var step struct {
			Op      string
			Journal string
			Message *document
		}
		if err := json.Unmarshal(scanner.Bytes(), &step); err != nil {
			return errors.WithMessage(err, "the script")
		}
		if _, ok := contentTypes[step.Journal]; !ok && step.Journal != "" {
			var spec, err = client.GetJournal(ctx, rjc, pb.Journal(step.Journal))
			if err != nil {
				return err
			}
			contentTypes[step.Journal] = spec.LabelSet.ValueOf(labels.ContentType)
		}
		var mapping = func(message.Mappable) (pb.Journal, string, error) {
			return pb.Journal(step.Journal), contentTypes[step.Journal], nil
		}
		switch step.Op {
		case "committed", "uncommitted":
			if step.Message == nil {
				return fmt.Errorf("%q without a message", step.Op)
			}
			var publish = publisher.PublishCommitted
			if step.Op == "uncommitted" {
				publish = publisher.PublishUncommitted
			}
			if _, err := publish(mapping, step.Message); err != nil {
				return err
			}
			told = append(told, merge(map[string]any{"op": step.Op, "journal": step.Journal}, parts(step.Message.id)))
		case "ack", "intents":
			var intents, err = publisher.BuildAckIntents()
			if err != nil {
				return err
			}
			for _, intent := range intents {
				var line = map[string]any{"op": step.Op, "journal": intent.Journal}
				if step.Op == "ack" {
					var aa = service.StartAppend(pb.AppendRequest{Journal: intent.Journal}, service.PendingExcept(intent.Journal))
					_, _ = aa.Writer().Write(intent.Intent)
					if err = aa.Release(); err != nil {
						return err
					}
				}
				line["intent"] = base64.StdEncoding.EncodeToString(intent.Intent)
				told = append(told, line)
			}
		default:
			return fmt.Errorf("there is no op %q", step.Op)
		}
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	for op := range service.PendingExcept("") {
		if op.Err() != nil {
			return op.Err()
		}
	}
	for _, line := range told {
		if err := print(line); err != nil {
			return err
		}
	}
	return nil
}

func runReadCommitted(ctx context.Context, args []string) error {
	var set, dial = newFlags("read-committed")
	var journals string
	var offset, end int64
	var uncommitted bool
	set.StringVar(&journals, "journal", "", "with commas between")
	set.Int64Var(&offset, "offset", 0, "")
	set.Int64Var(&end, "end", 0, "")
	set.BoolVar(&uncommitted, "uncommitted", false, "")
	_ = set.Parse(args)

	var rjc = dial.dial(ctx)
	var sequencer = message.NewSequencer(nil, nil, 1<<16)
	for _, name := range strings.Split(journals, ",") {
		var req = pb.ReadRequest{Journal: pb.Journal(name), Offset: offset, EndOffset: end}
		var rr = client.NewRetryReader(ctx, rjc, req)
		var it message.Iterator = message.NewReadCommittedIter(rr, newDocument, sequencer)
		if uncommitted {
			it = message.NewReadUncommittedIter(rr, newDocument)
		}
		for {
			var env, err = it.Next()
			if err == io.EOF || isWriteHead(err) {
				break
			} else if err != nil {
				return err
			}
			var doc = env.Message.(*document)
			var body = doc.fields
			if body == nil {
				body = map[string]json.RawMessage{}
			}
			err = print(merge(map[string]any{
				"journal": env.Journal.Name,
				"begin":   env.Begin,
				"end":     env.End,
				"message": body,
			}, parts(doc.id)))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// isWriteHead looks through both ways in which the package message wraps errors.
func isWriteHead(err error) bool {
	return errors.Cause(err) == client.ErrOffsetNotYetAvailable || errors.Is(err, client.ErrOffsetNotYetAvailable)
}

func runUUID(_ context.Context, args []string) error {
	var set, _ = newFlags("uuid")
	var producer, clock, at, parse string
	var flags uint
	set.StringVar(&producer, "producer", "", "six bytes in hex")
	set.StringVar(&clock, "clock", "", "decimal")
	set.StringVar(&at, "time", "", "as RFC 3339")
	set.UintVar(&flags, "flags", 0, "0 to 1023")
	set.StringVar(&parse, "parse", "", "")
	_ = set.Parse(args)

	if parse != "" {
		var id, err = uuid.Parse(parse)
		if err != nil {
			return err
		}
		return print(parts(id))
	}
	var id message.ProducerID
	if n, err := hex.Decode(id[:], []byte(producer)); err != nil || n != len(id) {
		return fmt.Errorf("-producer must be six bytes in hex, and is %q", producer)
	}
	var ticks message.Clock
	if at != "" {
		var t, err = time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return err
		}
		ticks = message.NewClock(t)
	} else {
		var n, err = strconv.ParseUint(clock, 10, 64)
		if err != nil {
			return err
		}
		ticks = message.Clock(n)
	}
	if flags > 0x3ff {
		return fmt.Errorf("-flags must be at most 1023, and is %d", flags)
	}
	return print(parts(message.BuildUUID(id, ticks, message.Flags(flags))))
}

func parts(id message.UUID) map[string]any {
	var producer, clock = message.GetProducerID(id), message.GetClock(id)
	return map[string]any{
		"uuid":     id.String(),
		"producer": hex.EncodeToString(producer[:]),
		"clock":    strconv.FormatUint(uint64(clock), 10),
		"flags":    message.GetFlags(id),
		"time":     clock.AsTime().UTC().Format(time.RFC3339Nano),
	}
}

func merge(into, from map[string]any) map[string]any {
	for name, value := range from {
		into[name] = value
	}
	return into
}
