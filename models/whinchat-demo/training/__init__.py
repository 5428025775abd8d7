# How the demo model is trained: tokenizer, batches, network, export. Nothing here is needed to build or run Whinchat.
