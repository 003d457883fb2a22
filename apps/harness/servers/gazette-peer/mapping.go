package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	pb "go.gazette.dev/core/broker/protocol"
	"go.gazette.dev/core/message"
)

// runMap says for each key on stdin, hexadecimal and one a line, which of the journals Gazette's mappings choose.
func runMap(_ context.Context, args []string) error {
	var set, _ = newFlags("map")
	var journals string
	set.StringVar(&journals, "journals", "", "names, with commas")
	_ = set.Parse(args)

	var listing pb.ListResponse
	for _, name := range strings.Split(journals, ",") {
		listing.Journals = append(listing.Journals, pb.ListResponse_Journal{Spec: pb.JournalSpec{Name: pb.Journal(name)}})
	}
	var partitions = func() *pb.ListResponse { return &listing }
	var key = func(m message.Mappable, w io.Writer) { _, _ = w.Write(m.([]byte)) }
	var modulo, rendezvous = message.ModuloMapping(key, partitions), message.RendezvousMapping(key, partitions)

	var lines = bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var bytes, err = hex.DecodeString(lines.Text())
		if err != nil {
			return fmt.Errorf("a key must be hexadecimal: %w", err)
		}
		var byModulo, _, err1 = modulo(bytes)
		if err1 != nil {
			return err1
		}
		var byRendezvous, _, err2 = rendezvous(bytes)
		if err2 != nil {
			return err2
		}
		if err = print(map[string]any{"modulo": byModulo, "rendezvous": byRendezvous}); err != nil {
			return err
		}
	}
	return lines.Err()
}
