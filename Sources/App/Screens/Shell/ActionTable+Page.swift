// The keys as a page to read without a screen: what is everywhere, then what each screen has, as the table has it.

import Terminal

extension ActionTable {
  /// The page in Markdown; names of keys are those that the configuration file and session scripts take.
  func markdown(_ screens: [any Screen.Type] = Screens.all) -> String {
    var page = """
      # Keys

      What `?` shows on a screen, as text. Every action has a name: `:` takes it, `do NAME` of a script too, and a line `key.NAME = KEY` in the
      configuration file gives it other keys (`moetop config` says where that is). An action without a key is done by its name.

      ## Everywhere


      """
    page += Self.rows(entries.filter { !$0.isChosen })
    for screen in screens {
      let id = screen.id
      let own = entries.filter { $0.isChosen && $0.applies(to: id) }
      let keys = self[id.action]?.keys.map { "`\($0.name)`" }.joined(separator: " ") ?? ""
      page +=
        "\n## \(screen.title)\(keys.isEmpty ? "" : " (\(keys))")\n\n" + (own.isEmpty ? "Nothing but what is everywhere.\n" : Self.rows(own))
    }
    return page + """

      ## In a line that is typed into

      These keys are fixed: `enter` takes the line and `esc` leaves it; `up` and `down`, or `ctrl-p` and `ctrl-n`, bring lines typed before, also
      of sessions before (in the palette arrows choose among commands, and `up` in the empty line brings the last one); `tab` completes; `ctrl-a`,
      `ctrl-e`, `ctrl-b`, `ctrl-f`, `ctrl-u`, `ctrl-k` and `ctrl-w` edit as in a shell.

      """
  }

  private static func rows(_ entries: [ActionEntry]) -> String {
    "| Keys | Action | What it does |\n|---|---|---|\n"
      + entries.map { entry in
        let keys = entry.keys.map { "`\($0.name)`".replacing("|", with: "\\|") }.joined(separator: " ")
        let argument = entry.argument.isEmpty ? "" : " \(entry.argument)"
        return "| \(keys) | `\((entry.id.rawValue + argument).replacing("|", with: "\\|"))` | \(entry.help) |\n"
      }.joined()
  }
}
