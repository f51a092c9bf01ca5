"""Files of models: what they are, whether they are whole, and how a part of one becomes a module.

`headers` reads what a `.safetensors` file says of itself, `recognition` tells what it is, `layouts` where
each weight lies in it, `presets` what its configuration would be. `weights` reads the weights, `vocabulary`
finds a tokenizer, `single` puts the pieces of single files together. `lora_file` and `extras` are for what
lies beside the models, `catalogue` and `conversion` for `graphengine models`.
"""
