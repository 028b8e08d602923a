"""Plain values and geometry: settings, planes, prompts, masks, instances, errors."""
