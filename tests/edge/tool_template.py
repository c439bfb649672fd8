"""SmolLM2's chat template with tools in it, in the form of Hermes and Qwen, which the 135M model was not made for."""

TEMPLATE = """
{%- if messages[0].role == "system" %}
{%- set rules = messages[0].content %}
{%- else %}
{%- set rules = "You are a helpful AI assistant named SmolLM, trained by Hugging Face" %}
{%- endif %}
{{- "<|im_start|>system\\n" + rules }}
{%- if tools %}
{{- "\\n\\nYou may call these functions:\\n<tools>" }}
{%- for tool in tools %}
{{- "\\n" }}{{- tool | tojson }}
{%- endfor %}
{{- "\\n</tools>\\nTo call one, return a json object with its name and arguments:\\n<tool_call>\\n" }}
{{- '{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>' }}
{%- endif %}
{{- "<|im_end|>\\n" }}
{%- for message in messages %}
{%- if message.role == "user" or message.role == "tool" or (message.role == "assistant" and not message.tool_calls) %}
{{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}
{%- elif message.role == "assistant" %}
{{- "<|im_start|>assistant" }}
{%- if message.content %}{{- "\\n" + message.content }}{%- endif %}
{%- for call in message.tool_calls %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{- "}\\n</tool_call>" }}
{%- endfor %}
{{- "<|im_end|>\\n" }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\\n" }}{%- endif %}
"""
