"""Two demo projects with data: Contoso Coffee, made up, and Complete Journey, a real grocer's."""
