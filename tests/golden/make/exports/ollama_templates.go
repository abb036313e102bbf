// What Ollama's template engine, Go's text/template, makes of the Modelfile's templates. The test writes templates and chats into
// the golden, this fills in the texts:
//
//	deno test -A coordinator/exports/gguf/modelfile_test.ts -- --write
//	go run ollama_templates.go ../../exports/ollama_templates.json
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type example struct {
	Template string    `json:"template"`
	Messages []message `json:"messages"`
	Text     string    `json:"text"`
}

func main() {
	path := os.Args[1]
	given, err := os.ReadFile(path)
	check(err)
	var examples []example
	check(json.Unmarshal(given, &examples))
	for i, one := range examples {
		var out strings.Builder
		parsed, err := template.New("").Parse(one.Template)
		check(err)
		check(parsed.Execute(&out, map[string]any{"Messages": one.Messages}))
		examples[i].Text = out.String()
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	check(encoder.Encode(examples))
	check(os.WriteFile(path, encoded.Bytes(), 0o644))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
