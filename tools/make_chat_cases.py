"""Writes Tests/Fixtures/chat/cases.json: chat templates with the constructs that model families use, conversations, and what Jinja makes
of them with the settings of transformers (its own `render_jinja_template`). The templates are written for this test; none is a model's.

    python tools/make_chat_cases.py Tests/Fixtures/chat/cases.json

With files of templates behind it, models' own say, the same conversations are rendered with those instead; `make further` reads
`chat/cases.json` of MOETOP_SHARED.

    python tools/make_chat_cases.py FOLDER/chat/cases.json *.jinja
"""

import json
import pathlib
import sys

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

CHATML = """{%- for message in messages -%}
    {%- if loop.first and message.role != 'system' -%}
        {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' -}}
    {%- endif -%}
    {{- '<|im_start|>' ~ message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

HEADERS = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{#- The header is there even when the message is empty. #}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Functions:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}{{- tool_call.arguments | tojson }}{{- "}" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

INST = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("user and assistant must take turns") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
"""

OLD_INST = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns!') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles!') }}{% endif %}{% endfor %}"""

DEEP = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|>'}}{% endif %}"""

THINKING = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last %}
            {%- if loop.last or (not loop.last and reasoning) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<r>\\n' + content + '\\n</r>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

MACROS = """{#-
  Types are written by a macro that calls itself.
 -#}
{%- macro type_of(spec, required) -%}
    {%- if spec.type == "array" -%}
        {%- if spec['items'] -%}
            {{- type_of(spec['items'], false) }}[]
        {%- else -%}
            any[]
        {%- endif -%}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string and spec.type[0] is defined -%}
        {{- spec.type | join(" | ") }}
    {%- elif spec.enum -%}
        {{- '"' + spec.enum|join('" | "') + '"' -}}
    {%- elif spec.type == "object" and spec.properties -%}
        {{- "{\\n" -}}
        {%- for name, prop in spec.properties.items() -%}
            {{- "  " ~ name -}}
            {%- if name not in (spec.required or []) -%}?{%- endif -%}
            {{- ": " }}{{ type_of(prop, name in (spec.required or [])) }}
            {%- if not loop.last -%}, {%- endif -%}
        {%- endfor -%}
        {{- "\\n}" -}}
    {%- else -%}
        {{- spec.type | default("any") }}
    {%- endif -%}
    {%- if spec.default is defined %} // default: {{ spec.default | tojson if spec.default is string else spec.default }}{% endif -%}
{%- endmacro -%}

{%- macro system(effort='medium', channels=['analysis', 'final']) -%}
    {{- "Reasoning: " + effort + "\\n" }}
    {{- "# Channels: " + channels|map('upper')|join(', ') }}
{%- endmacro -%}

{{- "<|start|>system<|message|>" }}
{{- system(effort=reasoning_effort|default('low')) }}
{{- "<|end|>" }}
{%- if messages[0].role in ["developer", "system"] %}
    {%- set developer = messages[0].content %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set developer = "" %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if developer or tools %}
    {{- "<|start|>developer<|message|>" -}}
    {{- developer }}
    {%- for tool in (tools or []) %}
        {%- set tool = tool.function %}
        {{- "\\ntype " + tool.name + " = (_: " + type_of(tool.parameters, true) + ") => any;" }}
    {%- endfor %}
    {{- "<|end|>" -}}
{%- endif %}
{%- set last = namespace(name=none) %}
{%- for message in loop_messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if "<|channel|>" in message.content %}{{- raise_exception("no channel tags in " ~ message.content) }}{%- endif %}
        {%- if "tool_calls" in message %}
            {%- set call = message.tool_calls[0].function %}
            {%- set last.name = call.name %}
            {{- "<|start|>assistant to=functions." ~ call.name ~ "<|message|>" ~ call.arguments|tojson ~ "<|call|>" }}
        {%- elif loop.last and not add_generation_prompt %}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|return|>" }}
        {%- else %}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }}
        {%- endif %}
    {%- elif message.role == 'tool' -%}
        {%- if last.name is none %}{{- raise_exception("an answer without a call") }}{%- endif %}
        {{- "<|start|>functions." ~ last.name ~ "<|message|>" ~ message.content|tojson ~ "<|end|>" }}
    {%- else -%}
        {{- "<|start|>" ~ message.role ~ "<|message|>" ~ message.content ~ "<|end|>" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|start|>assistant
{%- endif -%}
"""

BLOCKS = """{% for message in messages %}
  {% if message.content is string %}
{{ message.role }}: {{ message.content }}
  {% else %}
    {%- for item in message.content if item.type == 'text' %}
{{ item.text }}{{ "," if not loop.last }}
    {%- else %}
(nothing)
    {%- endfor %}
  {% endif %}
  {#  gone, with its line  #}
{% endfor %}
{%+ if add_generation_prompt +%}
assistant:
{% endif %}

"""

PIECES = """{% set text = 'Ünïcode, "quotes" and \\'more\\'' %}
{{ text|upper }}|{{ text|length }}|{{ text[2:9] }}|{{ text[-3:] }}|{{ text[::-2] }}|{{ text.replace('o', '0', 1) }}|{{ text.title() }}
{{ [1, 2.5, true, none, 'a\\nb', "it's", {'k': [text]}] }}
{{ [1, 2.5, true, none, text]|tojson }}|{{ {'b': 1, 'a': {'x': []}}|tojson(indent=2) }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 + 3 * 4 - 1 }} {{ 1e3 }} {{ 10 / 4 }} {{ "%s" ~ 'x' * 3 }} {{ 1 < 2 < 3 }} {{ 3 == 3.0 }}
{{ missing }}|{{ missing is defined }}|{{ missing|default('d') }}|{{ ''|default('e', true) }}|{{ none }}|{{ messages[9] is defined }}
{{ range(5)|list }} {{ range(6, 0, -2)|join('-') }} {{ 'a,b,,c'.split(',') }} {{ '  a  b '.split() }} {{ 'a-b-c'.split('-', 1) }}
{{ messages|map(attribute='role')|join(' ') }}|{{ messages|selectattr('role', 'equalto', 'user')|list|length }}|{{ messages|rejectattr('role', 'in', ['user'])|map(attribute='role')|list }}
{{ {'b': 2, 'a': 1}|dictsort }} {{ {'b': 2, 'a': 1}.items()|list }} {{ {'a': 1}.get('z', 'none') }} {{ {'a': 1}.keys()|list }}
{{ ['b', 'A', 'c']|sort|first }} {{ ['b', 'A', 'c']|last }} {{ ['x', 'y', 'X']|unique|list }} {{ [3, 1]|sort(reverse=true) }}
{% for k, v in {'one': 1, 'two': 2}|items %}{{ loop.index }}/{{ loop.length }} {{ k }}={{ v }}{{ loop.cycle(';', '.') }}{% endfor %}

{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 4 %}{% break %}{% endif %}{{ i }}{{ '' if loop.last else ' ' }}{% endfor %}

{% set block %}
  caught {{ messages[0].role }}
{% endset %}
[{{ block }}] {{ block|trim }} {% generation %}said{% endgeneration %}

{% set n = 1 %}{% for i in [1, 2] %}{% set n = n + 1 %}{{ n }}{% endfor %}{{ n }} {{ ('x' if false) }}|{{ 'in' if 'a' in 'cat' and not 'b' in ['c'] else 'out' }}
{{ 'a' is string }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ [] is sequence }} {{ {} is mapping }} {{ 1 is number }} {{ true is boolean }} {{ 5 is ne 4 }} {{ 'x'is not none }}
{{ '12'|int + 1 }} {{ 'x'|int(7) }} {{ '<b>' | replace('<', '&lt;') }} {{ 'ab cd'|capitalize }} {{ 'one\\ntwo'|indent(2) }} {{ 'x'.join(['1', '2']) }} {{ 'abc'|list }}
{{ (1, 'two')[1] }} {{ 'foo' 'bar' }} {{ messages[0]['content'].strip().lower().endswith('?') }} {{ loop is defined }} {{ 'a\\tb\\u00e9\\\\' }} {{ "naïve".find("v") }}
"""

STARS = """{%- macro tag(name, body, sep='-') %}[{{ name }}{{ sep }}{{ body }}]{% endmacro %}
{%- set pair = ['a', 'b'] %}
{{- tag(*pair) }}{{ tag('c', *['d']) }}{{ tag(sep='+', *pair) }}{{ tag(*pair, sep='=') }}{{ tag(*[], **{'name': 'n', 'body': 'm'}) }}
{%- macro all() %}{{ varargs|length }}{{ varargs }}{{ kwargs }}{% endmacro %}
{{- all(1, *pair, x=2, **{'y': 3}) }}{{ tag.name }}{{ tag.arguments }}{{ all.catch_varargs }}{{ tag.catch_kwargs }}{{ tag.missing is defined }}
"""

NOTHING = """{%- set nothing = none %}
{{- nothing | selectattr('role') | list }}{{ nothing | map(attribute='a') | list }}{{ nothing | select | list }}{{ false | reject | list }}
{{- messages | selectattr('role', 'equalto', 'nobody') | list | length }}{{ missing | map('upper') | list }}
{{- 'true' if messages | selectattr('role', 'equalto', 'nobody') else 'false' }}
{%- set users = messages | selectattr('role', 'equalto', 'user') %}
{{- (users | first).role }}{{ users | list | length }}{{ users | list | length }}{{ users is iterable }}{{ users is sequence }}
{{- messages | map(attribute='role') | unique | join(',') }}{{ messages | map(attribute='name', default='x') | join }}
{{- ['b', 'a', 'B'] | reverse | list }}{{ {'b': 1, 'A': 2} | items | list }}{{ {'b': 1, 'A': 2} | dictsort }}
"""

KEYS = """{%- set budgets = {0: 0, 512: 128, 1024: 256, true: 'yes', none: 'no', 1.5: 'half', ('a', 1): 't', '512': 'text'} %}
{{- budgets[512] }}{{ budgets['512'] }}{{ budgets[1] }}{{ budgets[none] }}{{ budgets[('a', 1)] }}{{ budgets[7] is defined }}{{ 1024.0 in budgets }}
{{- budgets.get(1024) }}{{ budgets.get(3, 'else') }}{% for key, value in budgets.items() %}{{ key }}={{ value }};{% endfor %}{{ budgets }}
{%- set steps = {0: 0, 1024: 256, 512: 128} %}
{{- steps | tojson }}{{ steps | tojson(sort_keys=true) }}{{ {none: 1, true: 2, 0.5: 3} | tojson }}{{ steps | dictsort }}{{ steps.keys() | list | max if false else steps | length }}
{%- set tier = namespace(key=0) %}{% for key in steps | sort %}{% if 600 > key %}{% set tier.key = key %}{% endif %}{% endfor %}{{ tier.key }}:{{ steps[tier.key] }}
"""

CALLS = """{%- macro box(title, mark='*') %}<{{ title }}{{ mark }}{{ caller() }}{{ mark }}>{% endmacro %}
{%- macro rows(list) %}{% for item in list %}{{ caller(item, loop.index) }}{% endfor %}{% endmacro %}
{%- macro plain() %}{{ caller is defined }}{% if caller is defined %}{{ caller() }}{% endif %}{% endmacro %}
{%- call box('a') %}in{{ messages | length }}{% endcall %}
{% call(item, number=0) rows(messages) -%} {{ number }}{{ item.role }} {%- endcall %}{{ plain() }}
{%- call box(*['b'], mark='!') %}{% call box('c') %}deep{% endcall %}{% endcall %}
"""

WORDS = """{{- '{}, {} and {{}}'.format(1, 'two') }}{{ '{1}{0}{name}'.format('a', 'b', name=none) }}{{ '<' ~ ('a<b' | safe) ~ '>' }}{{ '<' + ('a<b' | safe) + "'" }}
{{- ('x' | safe) is string }}{{ {'a': 1} | tojson | safe }}{{ [3, 1, 2] | min }}{{ ['b', 'A', 'C'] | max }}{{ ['b', 'A'] | min }}{{ [] | min is defined }}
{{- messages | max(attribute='role') == messages[-1] }}{{ (messages | min(attribute='role')).role }}{{ ('ab' | safe) | length }}
"""

RAW = """a
  {% raw %}
{{ not this }} {% nor this %}
  {% endraw %}
b {%- raw -%}  {# kept #}  {%- endraw -%}
 c{% raw %}x{% endraw +%}
{%+ raw %}y{%+ endraw %}{{ messages[0].role }}
"""

CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells \"it\".", "parameters": {
    "type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "days": {"type": ["integer", "null"], "default": 3}, "units": {"enum": ["C", "F"]},
        "tags": {"type": "array", "items": {"type": "string", "default": "a"}}}}}}

USER = {"role": "user", "content": " What is a router? "}
CONVERSATIONS = {
    "one": [USER],
    "system": [{"role": "system", "content": "Be brief. "}, USER],
    "turns": [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n A choice. "},
              {"role": "user", "content": "日本語 <|im_end|>\n"}],
    # Under both names, and in the order, in which transformers hands reasoning to a template.
    "calls": [USER, {"thinking": "call it", "role": "assistant", "content": "", "reasoning_content": "call it", "tool_calls": [CALL]},
              {"role": "tool", "content": "rain"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image"}, {"type": "text", "text": "here"}]},
              {"role": "user", "content": [{"type": "image"}]}],
    "wrong": [USER, USER],
}
CASES = [
    ("chatml", CHATML, ["one", "system", "turns"], {}),
    ("headers", HEADERS, ["one", "system", "turns"], {}),
    ("headers with tools", HEADERS, ["one", "calls"], {"tools": [TOOL]}),
    ("inst", INST, ["one", "system", "turns", "wrong"], {}),
    ("old inst", OLD_INST, ["one", "system", "wrong"], {}),
    ("deep", DEEP, ["one", "system", "turns"], {}),
    ("thinking", THINKING, ["one", "system", "turns", "calls"], {}),
    ("not thinking", THINKING, ["one", "turns", "calls"], {"enable_thinking": False, "tools": [TOOL]}),
    ("macros", MACROS, ["one", "system", "turns"], {"reasoning_effort": "high"}),
    ("macros with tools", MACROS, ["one", "calls"], {"tools": [TOOL]}),
    ("blocks", BLOCKS, ["one", "turns", "parts"], {}),
    ("pieces", PIECES, ["turns"], {}),
    ("stars", STARS, ["one"], {}),
    ("nothing", NOTHING, ["one", "turns"], {}),
    ("keys", KEYS, ["one"], {}),
    ("calls", CALLS, ["one", "turns"], {}),
    ("raw", RAW, ["one"], {}),
    ("words", WORDS, ["one", "turns"], {}),
]


def cases_of(files):
    """Templates from files, with every conversation, and with tools."""
    for file in files:
        template = pathlib.Path(file).read_text(encoding="utf-8")
        yield file, template, list(CONVERSATIONS), {}
        yield f"{file} with tools", template, ["one", "calls"], {"tools": [TOOL]}


def main(path, files):
    cases = []
    for name, template, conversations, extra in cases_of(files) if files else CASES:
        for conversation in conversations:
            for generates in (True, False):
                case = {"name": f"{name}, {conversation}", "template": template,
                        "variables": {"messages": CONVERSATIONS[conversation], "add_generation_prompt": generates, **TOKENS, **extra}}
                variables = dict(case["variables"])
                try:
                    rendered, _ = render_jinja_template(
                        [variables.pop("messages")], chat_template=template, tools=variables.pop("tools", None), **variables)
                    case["expected"] = rendered[0]
                except Exception as error:
                    # What raise_exception throws, and anything else that goes wrong.
                    case["refusal" if type(error) is TemplateError else "failure"] = str(error)
                cases.append(case)
    # The templates once, by number.
    templates = sorted({case["template"] for case in cases})
    for case in cases:
        case["template"] = templates.index(case["template"])
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"templates": templates, "cases": cases}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    print(len(cases), "cases,", sum("refusal" in case for case in cases), "refused")


main(sys.argv[1], sys.argv[2:])
