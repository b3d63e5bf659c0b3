"""Who may write a block and which block is final: values in, values out."""
